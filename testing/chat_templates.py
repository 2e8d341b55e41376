"""Chat templates modelled on well-known ones, with `{% generation %}` around the agent's text.

The tags are the reference: the package must find the same text without them.
"""

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message['content'] + '<|im_end|>\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# Strips every message, writes calls with `tojson` of an object, and ends a call with its own token.
LLAMA3 = """{{- bos_token }}
{%- if tools %}
    {{- '<|start_header_id|>system<|end_header_id|>\\n\\nTools: ' }}
    {%- for tool in tools %}{{- tool | tojson(indent=4) }}{%- endfor %}
    {{- '<|eot_id|>' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|start_header_id|>ipython<|end_header_id|>\\n\\n' + message.content | tojson + '<|eot_id|>' }}
    {%- else %}
        {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}
        {%- if message.role == 'assistant' %}
            {%- generation %}
            {%- if message.tool_calls %}
                {%- for call in message.tool_calls %}
                    {{- '{"name": "' + call.function.name + '", ' }}
                    {{- '"parameters": ' + call.function.arguments | tojson + '}' }}
                {%- endfor %}
                {{- '<|eom_id|>' }}
            {%- else %}
                {{- message.content | trim + '<|eot_id|>' }}
            {%- endif %}
            {%- endgeneration %}
        {%- else %}
            {{- message.content | trim + '<|eot_id|>' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""

# Has no generation prompt, and a space that the agent generates. Puts the tools before the last question, and
# refuses tool results that do not follow a call.
MISTRAL = """{%- set users = messages | selectattr('role', 'equalto', 'user') | list %}
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {%- if loop.first or not (loop.previtem.tool_calls or loop.previtem.role == 'tool') %}
            {{- raise_exception('a tool result must follow a tool call') }}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content | tojson + '}[/TOOL_RESULTS]' }}
    {%- elif message.role == 'assistant' %}
        {%- generation %}
        {%- if message.tool_calls %}
            {{- '[TOOL_CALLS] [' }}
            {%- for call in message.tool_calls %}
                {{- call.function | tojson }}
                {%- if not loop.last %}{{- ', ' }}{%- endif %}
            {%- endfor %}
            {{- ']' + eos_token }}
        {%- else %}
            {{- ' ' + message.content | trim + eos_token }}
        {%- endif %}
        {%- endgeneration %}
    {%- else %}
        {%- if tools and message == users[-1] %}
            {{- '[AVAILABLE_TOOLS] ' + tools | tojson + '[/AVAILABLE_TOOLS]' }}
        {%- endif %}
        {{- '[INST] ' + message.content + '[/INST]' }}
    {%- endif %}
{%- endfor %}
"""

# Has white space before the token that ends a turn, and a prompt that ends before the space.
LLAMA2 = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ ' ' + message['content'] + ' ' + eos_token }}{% endgeneration %}"
    "{% else %}{{ bos_token + '[INST] ' + message['content'] + ' [/INST]' }}{% endif %}"
    "{% endfor %}"
)

# Has no token that ends a turn, so two turns in a row touch.
BARE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] }}{% endgeneration %}"
    "{% else %}{{ message['content'] + '\\n' }}{% endif %}"
    "{% endfor %}"
)

# Writes a second token after the last turn of a conversation, as in Phi-3, and leaves out empty turns.
PHI3 = (
    "{% for message in messages %}"
    "{% if message['content'] %}{{ '<|' + message['role'] + '|>\\n' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message['content'] + '<|end|>\\n' }}{% endif %}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)

# SmolLM2's own template: a default system message, and no tools.
SMOLLM2 = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

TEMPLATES = {
    "chatml": CHATML,
    "llama3": LLAMA3,
    "mistral": MISTRAL,
    "llama2": LLAMA2,
    "bare": BARE,
    "phi3": PHI3,
}
WITH_TOOLS = ("llama3", "mistral")
SPECIAL_TOKENS = [
    "<s>",
    "</s>",
    "<|im_start|>",
    "<|im_end|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "[INST]",
    "[/INST]",
    "[TOOL_CALLS]",
    "<|start|>",
    "<|message|>",
    "<|channel|>",
    "<|call|>",
    "<|return|>",
    "<|calls|>",
    "<|/call|>",
    "<|/calls|>",
    "<|output|>",
    "<|/output|>",
    "<|/outputs|>",
    "<|assistant|>",
]
NAMED_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}


def without_tags(template: str) -> str:
    """Return the template without the `{% generation %}` tags."""
    for tag in ("generation", "endgeneration"):
        for form in ("{% X %}", "{%- X %}"):
            # A tag that strips white space is replaced by one that does the same.
            rest = "{%- if true %}{%- endif %}" if form.startswith("{%-") else ""
            template = template.replace(form.replace("X", tag), rest)
    return template


def with_marks(template: str) -> str:
    """Return the template with U+0001 and U+0002 at the start and end of the agent's text."""
    for tag, mark in (("generation", "\x01"), ("endgeneration", "\x02")):
        template = template.replace(f"{{% {tag} %}}", f"{{{{ '{mark}' }}}}")
        template = template.replace(f"{{%- {tag} %}}", f"{{{{- '{mark}' }}}}")
    return template
