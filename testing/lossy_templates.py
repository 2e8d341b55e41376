"""Chat templates that leave out or refuse what logs contain, each modelled on a well-known one."""

from lar.tokenizer.tokenizer import Tokenizer
from testing.conversations import tokenizer_with

# gpt-oss: writes only the first call of a turn, and reasoning or text beside it only where no answer follows.
# Needs a call before a tool's result, whose header repeats the name, and a description of each tool.
HARMONY = """<|start|>system<|message|>
{%- for tool in tools or [] %}{{- tool.function.name + ': ' + tool.function.description }}{%- endfor %}<|end|>
{%- set last = namespace(name=none) %}
{%- for message in messages %}
    {%- if message.role == 'assistant' and message.tool_calls %}
        {%- set answer = namespace(follows=false) %}
        {%- for later in messages[loop.index:] %}
            {%- if later.role == 'assistant' and not later.tool_calls %}
                {%- set answer.follows = true %}
            {%- endif %}
        {%- endfor %}
        {%- if message.content and message.thinking %}{{- raise_exception('not both') }}{%- endif %}
        {%- if not answer.follows and (message.content or message.thinking) %}
            {{- '<|start|>assistant<|channel|>analysis<|message|>' + (message.content or message.thinking) }}
            {{- '<|end|>' }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|start|>assistant to=functions.' + call.name + '<|channel|>commentary json<|message|>' }}
        {{- call.arguments | tojson + '<|call|>' }}
        {%- set last.name = call.name %}
    {%- elif message.role == 'assistant' %}
        {%- if loop.last and message.thinking %}
            {{- '<|start|>assistant<|channel|>analysis<|message|>' + message.thinking + '<|end|>' }}
        {%- endif %}
        {{- '<|start|>assistant<|channel|>final<|message|>' + message.content }}
        {{- '<|return|>' if loop.last else '<|end|>' }}
    {%- elif message.role == 'tool' %}
        {%- if last.name is none %}{{- raise_exception('a result without a call') }}{%- endif %}
        {{- '<|start|>functions.' + last.name + ' to=assistant<|message|>' + message.content + '<|end|>' }}
    {%- else %}
        {{- '<|start|>' + message.role + '<|message|>' + message.content + '<|end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start|>assistant' }}{%- endif %}
"""

# DeepSeek V3: only the first call of a conversation has a header, and text beside it.
FIRST_ROUND = (
    "{% set ns = namespace(called=false, result=false) %}{{ bos_token }}{% for m in messages %}"
    "{% if m.role in ('system', 'user') %}{% set ns.result = false %}{{ '<|' + m.role + '|>' + m.content }}"
    "{% elif m.role == 'tool' %}{% set ns.result = true %}{{ '<|output|>' + m.content + '<|/output|>' }}"
    "{% elif m.tool_calls %}{% set ns.result = false %}{% for call in m.tool_calls %}"
    "{{ '\\n<|call|>' if ns.called else '<|assistant|>' + m.content + '<|calls|><|call|>' }}"
    "{% set ns.called = true %}{{ call.function.name + '\\n' + call.function.arguments + '<|/call|>' }}"
    "{% endfor %}{{ '<|/calls|>' + eos_token }}"
    "{% else %}{{ ('<|/outputs|>' if ns.result else '<|assistant|>') + m.content + eos_token }}"
    "{% set ns.result = false %}{% endif %}{% endfor %}{% if ns.result %}{{ '<|/outputs|>' }}"
    "{% elif add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

# Llama 3.1: writes no text beside a call and one call a turn, and refuses more.
ONE_CALL = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' }}{% if m.tool_calls %}"
    "{% if m.tool_calls | length > 1 %}{{ raise_exception('single tool-calls only') }}{% endif %}"
    '{{ \'{"name": "\' + m.tool_calls[0].function.name + \'", "parameters": \' }}'
    "{{ m.tool_calls[0].function.arguments | tojson + '}' }}{% else %}{{ m.content | trim }}{% endif %}"
    "{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)

# Calls as Qwen2.5 and Qwen3 write them, and the end of a message.
CALLS_AND_END = """{%- for call in m.tool_calls or [] %}
        {{- '\\n<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
        {{- (call.function.arguments | tojson) + '}\\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}"""

# Qwen3: writes reasoning after the last question only, an empty block of it before the last turn, and takes
# it from the content.
LAST_THOUGHT = """{%- set ns = namespace(last=0) %}
{%- for m in messages %}{%- if m.role == 'user' %}{%- set ns.last = loop.index0 %}{%- endif %}{%- endfor %}
{%- for m in messages %}
    {{- '<|im_start|>' + m.role + '\\n' }}
    {%- set thought = m.reasoning_content or '' %}
    {%- set content = m.content %}
    {%- if '</think>' in content %}
        {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {%- if m.role == 'assistant' and loop.index0 > ns.last and (loop.last or thought) %}
        {{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}
    {%- endif %}
    {{- content }}
    %s
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
""".replace("%s", CALLS_AND_END)

# Qwen3.5 without thinking: the prompt has the empty block, arguments are written one by one, as Python does.
NO_THOUGHT = """{%- for m in messages %}
    {{- '<|im_start|>' + m.role + '\\n' }}
    {%- if m.role == 'assistant' %}
        {{- '<think>\\n' + m.reasoning_content | default('') | trim + '\\n</think>\\n\\n' }}
    {%- endif %}
    {{- m.content | trim }}
    {%- for call in m.tool_calls or [] %}
        {{- '\\n<tool_call>\\n<function=' + call.function.name + '>\\n' }}
        {%- for name, value in call.function.arguments | items %}
            {{- '<parameter=' + name + '>\\n' }}
            {{- value | tojson if value is mapping or value is sequence and value is not string else value }}
            {{- '\\n</parameter>\\n' }}
        {%- endfor %}
        {{- '</function>\\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}{%- endif %}
"""

# Mistral Nemo: the agent writes the ids of its calls, which have nine letters or digits, and no text beside
# them.
NINE_LETTERS = (
    "{{ bos_token }}{% for m in messages %}{% if m.tool_calls %}{{ '[TOOL_CALLS][' }}"
    "{% for call in m.tool_calls %}{% if not call.id or call.id | length != 9 %}"
    "{{ raise_exception('ids have length 9') }}{% endif %}"
    "{{ (call.function | tojson)[:-1] + ', \"id\": \"' + call.id + '\"}' + (']' if loop.last else ', ') }}"
    "{% endfor %}{{ eos_token }}{% elif m.role == 'assistant' %}{{ m.content + eos_token }}"
    "{% elif m.role == 'tool' %}{% if m.tool_call_id | length != 9 %}{{ raise_exception('length 9') }}"
    "{% endif %}{{ '[RESULT]' + m.content + ' ' + m.tool_call_id + '[/RESULT]' }}"
    "{% else %}{{ '[INST]' + m.content + '[/INST]' }}{% endif %}{% endfor %}"
)

# Gemma 2: no system message, and turns that alternate.
ALTERNATING = (
    "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<|start|>' + m.role + '\\n' + m.content | trim + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\\n' }}{% endif %}"
)

LOSSY: dict[str, Tokenizer] = {
    "harmony": tokenizer_with(HARMONY),
    "first round": tokenizer_with(FIRST_ROUND),
    "one call": tokenizer_with(ONE_CALL),
    "last thought": tokenizer_with(LAST_THOUGHT),
    "no thought": tokenizer_with(NO_THOUGHT),
    "nine letters": tokenizer_with(NINE_LETTERS),
    "alternating": tokenizer_with(ALTERNATING),
}
