import pytest

from fedlab.config.schema import TaskTable
from fedlab.data.templates import render
from fedlab.errors import UserError

ASKED = [("user", "sea"), ("assistant", "red")]


def _render(conversation, tokenizer, **table):
    return [(piece.text, piece.counts) for piece in render(conversation, TaskTable(kind="prompt", **table), tokenizer)]


def test_a_template_in_the_file_is_followed_by_the_response_and_the_end_of_text(word_tokenizer):
    assert _render(ASKED, word_tokenizer, template="Q: {prompt}\nA:") == [("Q: sea\nA:", False), ("red</s>", True)]


def test_a_space_before_a_response_belongs_to_it(word_tokenizer):
    assert _render(ASKED, word_tokenizer, template="Q: {prompt} A: ") == [("Q: sea A:", False), (" red</s>", True)]


def test_other_braces_of_a_template_stand_as_they_are(word_tokenizer):
    assert _render(ASKED, word_tokenizer, template="{x} {prompt}\n")[0] == ("{x} sea\n", False)


def test_the_chat_template_opens_the_response_and_all_responses_of_a_chat_count(word_tokenizer):
    chat = [("user", "sea"), ("assistant", "red"), ("user", "far"), ("assistant", "no")]
    assert _render(chat, word_tokenizer) == [
        ("user sea model", False),
        (" red </s>", True),
        (" user far model", False),
        (" no </s>", True),
    ]


def test_a_system_message_of_the_file_stands_first_unless_the_chat_has_its_own(word_tokenizer):
    assert _render(ASKED, word_tokenizer, system="green")[0] == ("user green user sea model", False)
    own = [("system", "yes"), *ASKED]
    assert _render(own, word_tokenizer, system="green")[0] == ("user yes user sea model", False)


def test_a_missing_chat_template_is_named_with_the_key_that_replaces_it(word_tokenizer):
    word_tokenizer.chat_template = None
    with pytest.raises(UserError) as raised:
        _render(ASKED, word_tokenizer)
    assert "task.template = 'chat': the model's tokenizer has no chat template: set task.template" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_roles_that_the_chat_template_refuses_are_one_line(word_tokenizer):
    with pytest.raises(UserError, match=r"does not accept messages of 'user, tool'.*no tools"):
        _render([("user", "sea"), ("tool", "x"), ("assistant", "red")], word_tokenizer)


def test_a_chat_template_that_rewrites_earlier_messages_is_refused(word_tokenizer):
    word_tokenizer.chat_template = "{{ messages | length }} {% for m in messages %}{{ m.content }} {% endfor %}"
    with pytest.raises(UserError, match="changes earlier messages when a response follows"):
        _render(ASKED, word_tokenizer)


def test_a_template_in_the_file_takes_one_prompt_and_its_response(word_tokenizer):
    with pytest.raises(UserError, match="one prompt and its response, found messages of user, assistant, user, assist"):
        _render([*ASKED, *ASKED], word_tokenizer, template="{prompt}")
