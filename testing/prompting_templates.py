"""Chat templates whose prompts end with more than the header of a turn, most modelled on a well-known one."""

from lar.tokenizer.spans import speaker
from lar.tokenizer.tokenizer import Tokenizer
from lar.trajectories.schema import Message
from testing.conversations import TOOL, tokenizer_with
from testing.lossy_templates import CALLS_AND_END

_MESSAGE = """{{- '<|im_start|>' + m.role + '\\n' }}
    {%- if m.role == 'assistant' %}%s{%- endif %}
    {{- m.content }}
    %s
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{{- '%s' }}{%- endif %}
"""
_LAST = """{%- set ns = namespace(last=0) %}
{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}
"""
_EACH = "{%- for m in messages %}\n    "
_BLOCK = "{{- '<think>\\n' + (m.reasoning_content or '') + '\\n</think>\\n\\n' }}"


def _template(block: str, prompt: str) -> str:
    message = _MESSAGE
    for part in (block, CALLS_AND_END, prompt):
        message = message.replace("%s", part, 1)
    return _LAST + _EACH + message


# Qwen3.5: a prompt begins a block of reasoning, which is written after the last question only.
OPEN_THOUGHT = _template(f"{{%- if loop.index0 > ns.last %}}{_BLOCK}{{%- endif %}}", "<think>\\n")

# Kimi K2 Thinking: the agent writes the block, an empty one too.
OWN_THOUGHT = _template(_BLOCK, "")

# MiniMax M2: a prompt begins a block, and a turn without reasoning is written without one.
NO_EMPTY_THOUGHT = _template(f"{{%- if m.reasoning_content %}}{_BLOCK}{{%- endif %}}", "<think>\\n")

# Gemma 4 without thinking: a prompt has an empty block, which no turn has.
CLOSED_THOUGHT = _template("", "<think>\\n\\n</think>\\n\\n")

# Modelled on none: reasoning is written in the last turn only, also while the agent calls tools.
LAST_REASONING = _template(f"{{%- if loop.last and m.reasoning_content %}}{_BLOCK}{{%- endif %}}", "")

# Mistral Nemo: the system's text stands in the last message, if that is a user's.
_SYSTEM = "{%- if loop.last and m.role == 'user' %}{{- system }}{%- endif %}"
MOVED_SYSTEM = (
    "{%- set system = messages[0].content if messages[0].role == 'system' else '' %}\n"
    + _template("", "")
    .replace(_EACH, "{%- for m in messages if m.role != 'system' %}\n    ")
    .replace("{{- m.content }}", _SYSTEM + "{{- m.content }}")
)

PROMPTING: dict[str, Tokenizer] = {
    "open thought": tokenizer_with(OPEN_THOUGHT),
    "own thought": tokenizer_with(OWN_THOUGHT),
    "no empty thought": tokenizer_with(NO_EMPTY_THOUGHT),
    "closed thought": tokenizer_with(CLOSED_THOUGHT),
    "last reasoning": tokenizer_with(LAST_REASONING),
    "moved system": tokenizer_with(MOVED_SYSTEM),
}


def prompts_of(tokenizer: Tokenizer, messages: list[Message]) -> list[str]:
    """What an engine gives the model before each turn that is learnt."""
    template, dialect = speaker(tokenizer, [TOOL])
    return [
        template.render(*dialect.adjust(messages[:place], [TOOL]), add_generation_prompt=True)
        for place, message in enumerate(messages)
        if message["role"] == "assistant" and message.get("weight") != 0
    ]
