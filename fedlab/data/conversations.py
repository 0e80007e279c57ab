"""Prompts and responses, read from columns as conversations: the turns of a chat, the last of them a response."""

import string
from collections.abc import Callable, Sequence
from typing import Any

from fedlab.common.short_text import short
from fedlab.config.schema import TaskTable
from fedlab.errors import UserError

Turn = tuple[str, str]  # role and content
Conversation = list[Turn]  # empty where an example has no prompt
USER, ASSISTANT = "user", "assistant"

# Returns the values of a column as texts; the second argument is the key that names it.
Column = Callable[[str, str], Sequence[str]]


def asked_and_answered(table: TaskTable, columns: Sequence[str], column: Column) -> list[Conversation]:
    """Return a turn of the user and one of the assistant for each example; without a response, the first alone.

    `columns` are the names of the data's columns. `task.prompt` is one of them, or a text with `{columns}`.

    Raises:
        UserError: the text of `task.prompt` cannot be filled in.
    """
    parts = [("", table.prompt)] if table.prompt in columns else _parts(table.prompt)
    values = {name: column(name, "task.prompt") for _, name in parts if name is not None}
    responses = column(table.response, "task.response")
    found = []
    for row, response in enumerate(responses):
        filled = [values[name][row].strip() for _, name in parts if name is not None]
        asked = "".join(text + ("" if name is None else values[name][row].strip()) for text, name in parts)
        answer = [(ASSISTANT, response.strip())] if response.strip() else []
        found.append([(USER, asked), *answer] if any(filled) else [])
    return found


def chats(values: Sequence[Any], said: str, split: str) -> list[Conversation]:
    """Return the messages of each example as turns, up to the last of the assistant.

    Raises:
        UserError: a value is not a list of messages, each with a role and a content that is text.
    """
    return [_chat(value, said, split, number) for number, value in enumerate(values, start=1)]


def whole_text(conversation: Conversation) -> str:
    """Return all that is said in a conversation, to compare it with others."""
    return "\n".join(content for _, content in conversation)


def _parts(text: str) -> list[tuple[str, str | None]]:
    """Return what stands between the columns of a text, each with the column that follows it."""
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise UserError(f"task.prompt = {short(text)}: {error}; write a brace that is no column twice") from error
    if not any(name for _, name, _, _ in parsed):
        return [("", text)]  # which then is the name of a column that is missing
    return [(literal, name) for literal, name, _, _ in parsed]


def _chat(value: object, said: str, split: str, number: int) -> Conversation:
    if value is None or value == []:
        return []
    accepted = f"{said}: example {number} of split '{split}' is not a list of messages with a role and a content"
    if not isinstance(value, list):
        raise UserError(f"{accepted}, but {short(value)}")
    turns = []
    for message in value:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if not isinstance(role, str) or not isinstance(content, str):
            raise UserError(f"{accepted}: found {short(message)}")
        turns.append((role, content))
    last = max((place for place, (role, text) in enumerate(turns) if role == ASSISTANT and text.strip()), default=-1)
    return turns[: last + 1] or [turn for turn in turns if turn[0] == USER]
