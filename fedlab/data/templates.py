"""Prompts and responses as text: what of it counts in the loss, by a model's chat template or one in the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedlab.common.short_text import raised, short
from fedlab.config.schema import TaskTable
from fedlab.config.task_table import CHAT
from fedlab.data.conversations import ASSISTANT, USER, Conversation
from fedlab.errors import UserError

_PLACE = "{prompt}"


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a text; the tokens of a response count in the loss, those of a prompt do not."""

    text: str
    counts: bool


def render(conversation: Conversation, table: TaskTable, tokenizer: Any) -> list[Piece]:
    """Return a conversation as pieces, prompts and responses in turn; the last is a response with the end of its turn.

    Raises:
        UserError: the tokenizer has no chat template, or the template does not accept the conversation.
    """
    if table.template == CHAT:
        pieces = _by_chat_template(conversation, table.system, tokenizer)
    else:
        pieces = _by_own_template(conversation, table, tokenizer)
    return _spaces_before_responses(pieces)


def _by_own_template(conversation: Conversation, table: TaskTable, tokenizer: Any) -> list[Piece]:
    roles = [role for role, _ in conversation]
    if roles != [USER, ASSISTANT]:
        raise UserError(
            f"task.template is for one prompt and its response, found messages of {', '.join(roles)}: use"
            f" task.template = '{CHAT}'"
        )
    (_, prompt), (_, response) = conversation
    before, _, after = table.template.partition(_PLACE)
    end = tokenizer.eos_token or ""
    return [Piece(text=before + prompt + after, counts=False), Piece(text=response + end, counts=True)]


def _by_chat_template(conversation: Conversation, system: str | None, tokenizer: Any) -> list[Piece]:
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            f"task.template = '{CHAT}': the model's tokenizer has no chat template: set task.template to a text with"
            f" {_PLACE}, such as 'Question: {_PLACE}\\nAnswer: '"
        )
    messages = [{"role": role, "content": content} for role, content in conversation]
    if system is not None and conversation[0][0] != "system":
        messages.insert(0, {"role": "system", "content": system})
    pieces, done = [], ""
    for place, message in enumerate(messages):
        if message["role"] != ASSISTANT:
            continue
        asked = _rendered(tokenizer, messages[:place], opens=True)
        whole = _rendered(tokenizer, messages[: place + 1], opens=False).rstrip()
        if not (asked.startswith(done) and whole.startswith(asked)):
            raise UserError(
                f"task.template = '{CHAT}': this model's template changes earlier messages when a response follows, so"
                " that its tokens cannot be told apart: set task.template to a text of your own"
            )
        pieces += [Piece(text=asked[len(done) :], counts=False), Piece(text=whole[len(asked) :], counts=True)]
        done = whole
    return pieces


def _rendered(tokenizer: Any, messages: Sequence[dict[str, str]], *, opens: bool) -> str:
    try:
        text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opens)
    except Exception as error:  # jinja's own, which a template raises for roles that it does not accept
        said = ", ".join(message["role"] for message in messages)
        raise UserError(
            f"task.template = '{CHAT}': the model's template does not accept messages of {short(said, 60)}:"
            f" {raised(error)}"
        ) from error
    return text


def _spaces_before_responses(pieces: Sequence[Piece]) -> list[Piece]:
    """Move spaces at the end of a prompt to the response, for most tokenizers join a space to the word after it."""
    moved, spaces = [], ""
    for piece in pieces:
        text = spaces + piece.text
        kept = text if piece.counts else text.rstrip(" ")
        spaces = text[len(kept) :]
        moved.append(Piece(text=kept, counts=piece.counts))
    return moved
