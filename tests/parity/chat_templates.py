"""Chat templates that use what those of the model families use, in words of their own; conversations; and small templates for every construct."""

import json
import random

# Each names the special tokens it needs.
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}

TEMPLATES = {
    # ChatML with a default system text (Qwen 2.5, SmolLM 2).
    "chatml_default_system": """{%- for message in messages -%}
{%- if loop.first and message['role'] != 'system' -%}
{{ '<|im_start|>system\\nYou are a careful assistant.<|im_end|>\\n' }}
{%- endif -%}
{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}""",
    # ChatML with tools, tool calls and their answers gathered in one user turn (Qwen 2.5).
    "chatml_tools": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content }}{%- else %}{{- 'You help.' }}{%- endif %}
    {{- "\\n\\n# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}{{- '\\n' + message.content }}{%- endif %}
        {%- for call in message.tool_calls %}
            {%- if call.function is defined %}{%- set call = call.function %}{%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}{{- call.name }}{{- '", "arguments": ' }}{{- call.arguments | tojson }}{{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.index0 == 0 or messages[loop.index0 - 1].role != "tool" %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- message.content }}{{- '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != "tool" %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}""",
    # Thinking: earlier turns lose it, the last keeps it, found by walking backwards through a namespace (Qwen 3).
    "chatml_thinking": """{%- set ns = namespace(searching=true, last_query=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
    {%- if message.role == "user" or message.role == "system" or message.role == "tool" %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query and (loop.last or (not loop.last and reasoning)) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}""",
    # The system text inside of the first user turn, strict alternation (Llama 2).
    "llama2": """{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}{% else %}{% set rest = messages %}{% set system = false %}{% endif %}
{%- for message in rest -%}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}{{ raise_exception('Roles must take turns: user, assistant, user ...') }}{%- endif -%}
{%- if loop.index0 == 0 and system != false -%}{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}{%- else -%}{% set content = message['content'] %}{%- endif -%}
{%- if message['role'] == 'user' -%}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}
{%- elif message['role'] == 'assistant' -%}{{ ' ' + content.strip() + ' ' + eos_token }}{%- endif -%}
{%- endfor -%}""",
    # Headers, a date, the begin token as part of the first turn (Llama 3).
    "llama3": """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}""",
    "llama3_1": """{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{#- The system text is taken out, so that it goes where it belongs. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system_message = "" %}{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools is not none and messages %}
    {%- for t in tools %}{{- t | tojson(indent=4) }}{{- "\\n\\n" }}{%- endfor %}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}{{- raise_exception("This model knows single tool-calls only.") }}{%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}{{- '"parameters": ' }}{{- tool_call.arguments | tojson }}{{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}{{- message.content | tojson }}{%- else %}{{- message.content }}{%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}""",
    "mistral1": """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('turns must alternate') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}""",
    # The system text in the last user turn; loops through a filtered list (Mistral v0.3, Nemo).
    "mistral3": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, roles must alternate.") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}{{- "[AVAILABLE_TOOLS] " ~ (tools | tojson) ~ "[/AVAILABLE_TOOLS]" }}{%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}{{- ', "id": "000000000"}' }}{%- else %}{{- ', "id": "' + tool_call.id + '"}' }}{%- endif %}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content|string + '}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("unknown role: " + message["role"]) }}
    {%- endif %}
{%- endfor %}""",
    # Another name for the assistant, no system turn (Gemma).
    "gemma": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}""",
    # Contents that are lists of parts; the system text before the first user's (Gemma 3).
    "gemma3": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}{%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}{%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}{%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'assistant') -%}{%- set role = "model" -%}{%- else -%}{%- set role = message['role'] -%}{%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}{{ '<start_of_image>' }}{%- elif item['type'] == 'text' -%}{{ item['text'] | trim }}{%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}
""",
    # The assistant's header ends the user's turn, and the end token comes only at the end (Phi 3).
    "phi3_old": """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') %}{{'<|user|>' + '\\n' + message['content'] + '<|end|>' + '\\n' + '<|assistant|>' + '\\n'}}{% elif (message['role'] == 'assistant') %}{{message['content'] + '<|end|>' + '\\n'}}{% endif %}{% endfor %}""",
    "phi3": """{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}""",
    # Line breaks of the template itself are part of the text (Zephyr, TinyLlama).
    "zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
""",
    "falcon": """{% for message in messages %}{% if not loop.first %}{{ '\\n' }}{% endif %}{% if message['role'] == 'system' %}{{ 'System: ' + message['content'] }}{% elif message['role'] == 'user' %}{{ 'User: ' + message['content'] }}{% elif message['role'] == 'assistant' %}{{ 'Falcon: ' + message['content'] + eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '\\nFalcon:' }}{% endif %}""",
    "vicuna": """{%- set system = 'A chat.' -%}{%- for message in messages -%}{%- if message.role == 'system' -%}{%- set system = message.content -%}{%- endif -%}{%- endfor -%}{{ system }}{% for message in messages if message.role != 'system' %}{{ (' USER: ' if message.role == 'user' else ' ASSISTANT: ') ~ message.content ~ (eos_token if message.role == 'assistant') }}{% else %}{{ ' nobody speaks' }}{% endfor %}""",
    # Macros, dictionaries gone over in order, nested loops (tool descriptions of larger models).
    "macros": """{%- macro describe(name, spec, depth=0) -%}
{{ '  ' * depth }}{{ name }}: {{ spec.type | default('any', true) | upper }}{% if spec.enum %} of {{ spec.enum | join(', ') }}{% endif %}

{%- if spec.properties is defined %}
{%- for key, value in spec.properties.items() %}

{{ describe(key, value, depth + 1) }}
{%- endfor %}
{%- endif %}
{%- endmacro -%}
{{ bos_token }}{% if tools %}{% for tool in tools %}{{ describe(tool.function.name, tool.function.parameters) }}
{% endfor %}{% endif %}
{%- for message in messages %}{% generation %}{{ '' }}{% endgeneration %}
[{{ message.role | capitalize }}] {{ message.content if message.content is string else message.content | tojson }}{% endfor %}""",
    # The model's own marks of what it says.
    "generation_blocks": """{% for message in messages %}{% if message.role == 'assistant' %}<|assistant|>
{% generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}

{% else %}<|{{ message.role }}|>
{{ message.content }}
{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>
{% endif %}""",
    "deepseek": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, system_prompt='', is_first_sp=true) %}{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}{% set ns.system_prompt = ns.system_prompt + message['content'] %}{% set ns.is_first_sp = false %}{%- else %}{% set ns.system_prompt = ns.system_prompt + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system_prompt }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<|User|>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<|Assistant|>' + content + '<|end|>'}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<|Assistant|><think>\\n'}}{% endif %}""",
    "alpaca": """{% set sep = '\\n\\n' %}{% for message in messages %}{% if message.role == 'user' %}### Instruction:
{{ message.content | trim }}{{ sep }}### Response:
{% elif message.role == 'assistant' %}{{ message.content | trim }}{{ eos_token }}{{ sep if not loop.last }}{% else %}{{ message.content | trim ~ sep }}{% endif %}{% endfor %}""",
    "captured": """{% set header %}{% for m in messages if m.role == 'system' %}{{ m.content }}{% if not loop.last %}; {% endif %}{% endfor %}{% endset %}{% filter trim | replace('\\n\\n', '\\n') %}
{{ header }}
{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{% if loop.index > 6 %}{% break %}{% endif %}{{ loop.index }}/{{ loop.length }} {{ loop.cycle('a', 'b') }} {{ m.role }}: {{ m.content | string | length }} {{ m.content }}

{% endfor %}{% endfilter %}""",
}

WORDS = ["Hello", "world", "What is 2 + 2?", "It is 4.", "caf\u00e9", "\u4f60\u597d", "\U0001f600", "a\tb", "  spaces  ", "\n", "\n\nlines\n", "<b>&amp;</b>",
         "it's \"quoted\"", "back\\slash", "", " ", "</think>", "<think>\nhm\n</think>\n\nyes", "{{ braces }}", "{% tag %}", "\u00a0nbsp\u2028", "\x1funit", "0", "None"]

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a \"city\" <now>", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "enum": ["K\u00f6ln", "Paris"]}, "days": {"type": "integer", "default": 3, "scale": 1.5e-7},
                                     "deep": {"type": "object", "properties": {"x": {}}}}, "required": ["city"]}}},
         {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}, "empty": [], "flag": True, "nothing": None}}}]


def text(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 4)))


def assistant(rng, with_tools):
    message = {"role": "assistant", "content": text(rng)}
    kind = rng.random()
    if kind < 0.15:
        message["reasoning_content"] = text(rng)
    elif kind < 0.3 and with_tools:
        calls = [{"id": rng.choice(["abcdefghi", "x"]), "type": "function", "function": {"name": "get_weather", "arguments": {"city": text(rng), "days": rng.randint(0, 9)}}}
                 for _ in range(rng.randint(1, 2))]
        message["tool_calls"] = calls
        if rng.random() < 0.5:
            message["content"] = rng.choice(["", None])
    return message


def content_of_user(rng):
    if rng.random() < 0.1:
        return [{"type": "text", "text": text(rng)}, {"type": "image"}, {"type": "text", "text": text(rng)}]
    return text(rng)


def conversation(rng):
    """Mostly well formed: an optional system turn, then user and assistant in turns; sometimes not."""
    messages = [{"role": "system", "content": text(rng)}] if rng.random() < 0.4 else []
    with_tools = rng.random() < 0.3
    for _ in range(rng.randint(1, 4)):
        messages.append({"role": "user", "content": content_of_user(rng)})
        if rng.random() < 0.9:
            messages.append(assistant(rng, with_tools))
            if with_tools and "tool_calls" in messages[-1] and rng.random() < 0.7:
                messages += [{"role": "tool", "content": rng.choice(["17 \u00b0C", json.dumps({"t": 1})])} for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.05:
        rng.shuffle(messages)
    return messages, TOOLS if with_tools else None


# ---- Small templates: one construct each.
SNIPPETS = r"""
{{ 1 + 2 * 3 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 3 }} {{ 2 ** -1 }} {{ 7.0 // 2 }} {{ 1e3 }} {{ 0.1 + 0.2 }} {{ 1_000 }}
{{ 'a' + 'b' ~ 1 ~ none ~ true }} {{ 'ab' * 3 }} {{ [1] * 2 + [2] }} {{ 'x' 'y' }}
{{ -3 | abs }} {{ (-3) | abs }} {{ 3 | float }} {{ 'a' ~ 'b' | upper }} {{ ('a' ~ 'b') | upper }} {{ not true or true }} {{ not (true or true) }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 1 == 1.0 }} {{ 'a' == 'a' }} {{ [1, 2] == [1, 2] }} {{ 'a' in 'cat' }} {{ 'x' not in ['y'] }} {{ 1 != 2 }} {{ true == 1 }}
{{ none }} {{ true }} {{ false }} {{ [1, 'two', none, 3.5, true, [4]] }} {{ {'a': 1, 'b': 'it\'s'} }} {{ ["it's", 'a"b', 'x\ny\\'] }} {{ () }}
{{ undefined_name }}|{{ undefined_name is defined }}|{{ undefined_name | default('d') }}|{{ none | default('d') }}|{{ none | default('d', true) }}|{{ '' | d('e', boolean=true) }}
{{ x if x is defined else 'no x' }}|{{ 'y' if false }}|{{ 1 if 0 else 2 if 0 else 3 }}
{{ 'abc'[1] }} {{ 'abc'[-1] }} {{ 'abcdef'[1:4] }} {{ 'abcdef'[::-1] }} {{ [1,2,3,4][::2] }} {{ [1,2,3,4][-2:] }} {{ [1,2,3,4][:-1] }} {{ [1,2,3][5:] }} {{ 'é漢字x'[1:3] }} {{ [1,2,3,4][3:0:-1] }}
{{ {'a': 1}.a }} {{ {'a': 1}['a'] }} {{ {'a': 1}.get('b', 2) }} {{ {'a': 1}.get('b') }} {{ {'items': 5}['items'] }} {{ {'a': 1}.items() | list }} {{ {'a': 1, 'b': 2}.keys() | join(',') }} {{ {'a': 1}.values() | list }}
{{ {'a': {'b': [1, 2]}}.a.b[1] }} {{ [[1, 2], [3]][0][1] }} {{ {'a': 1}.missing }}| {{ {'a': 1}['missing'] is defined }} {{ [1][4] is defined }}
{{ '  x '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'xxa'.lstrip('x') }}|{{ 'axx'.rstrip('x') }}|{{ ' a b  c '.split() }}|{{ 'a,b,,c'.split(',') }}|{{ 'a,b,c'.split(',', 1) }}|{{ 'a b c'.rsplit(' ', 1) }}|{{ 'a  b c'.split(none, 1) }}|{{ ' a b '.rsplit(none, 1) }}
{{ 'Hello'.startswith('He') }} {{ 'Hello'.endswith(('x', 'lo')) }} {{ 'heLLo wORLD'.title() }} {{ 'heLLo'.capitalize() }} {{ 'ab'.upper() }} {{ 'ÀB'.lower() }} {{ 'straße'.upper() }} {{ 'aXbX'.replace('X', '-') }} {{ 'aXbX'.replace('X', '-', 1) }} {{ 'abc'.find('c') }} {{ 'abc'.find('z') }} {{ 'abcb'.rfind('b') }} {{ 'abcb'.count('b') }} {{ '-'.join(['a', 'b']) }} {{ 'a\nb\r\nc'.splitlines() }} {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.py'.removesuffix('.py') }}
{{ '12'.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ '  '.isspace() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }} {{ ''.isdigit() }}
{{ ' x ' | trim }}|{{ 'xxaxx' | trim('x') }}|{{ 5 | trim }}|{{ [3, 1, 2] | sort }}|{{ ['b', 'A', 'c'] | sort }}|{{ ['b', 'A'] | sort(case_sensitive=true) }}|{{ [3, 1, 2] | sort(reverse=true) }}|{{ [1, 2, 3] | reverse | list }}|{{ 'abc' | reverse }}
{{ [1, 2, 3] | length }} {{ 'é漢' | length }} {{ {'a': 1} | count }} {{ [1, 2] | first }} {{ [1, 2] | last }} {{ [] | first is defined }} {{ [1, 2, 3] | sum }} {{ [1, 5, 3] | max }} {{ [4, 2] | min }} {{ [1, 1, 2, 'a', 'A'] | unique | list }} {{ 'abc' | list }}
{{ [1, 2] | join }} {{ [1, none, 'x'] | join('-') }} {{ [{'n': 'a'}, {'n': 'b'}] | join(', ', attribute='n') }} {{ [{'n': 'a'}, {'n': 'b'}] | map(attribute='n') | list }} {{ ['a', 'b'] | map('upper') | join }} {{ [{'n': {'m': 1}}] | map(attribute='n.m') | list }} {{ [{}, {'n': 1}] | map(attribute='n', default=0) | list }}
{{ [1, 2, 3, 4] | select('even') | list }} {{ [1, 2, 3, 4] | reject('odd') | list }} {{ [0, 1, '', 'a'] | select | list }} {{ [{'r': 'u', 'x': 1}, {'r': 'a'}] | selectattr('r', 'equalto', 'u') | list }} {{ [{'r': 1}, {}] | selectattr('r', 'defined') | list }} {{ [{'r': 1}, {'r': 0}] | rejectattr('r') | list }} {{ [{'r': 1}, {'r': 2}] | selectattr('r', 'in', [2, 3]) | map(attribute='r') | first }}
{{ {'b': 1, 'a': [1, {'c': none}]} | tojson }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ 'é"\n\t\u0001<>&\'' | tojson }} {{ [] | tojson(indent=2) }} {{ {'a': [1, 2], 'b': {}} | tojson(indent=2) }} {{ 1.0 | tojson }} {{ 1e20 | tojson }} {{ 1.5e-7 | tojson }} {{ 123456789.125 | tojson }}
{{ '5' | int + 1 }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ '2.7' | int }} {{ 3.9 | int }} {{ '1.5' | float }} {{ 'z' | float(2.5) }} {{ true | int }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.345 | round(2) }} {{ 2.1 | round(method='ceil') }} {{ 2.9 | round(0, 'floor') }}
{{ 'a b' | title }} {{ 'aB c' | capitalize }} {{ 'AbC' | lower }} {{ '<a href="x">\'' | escape }} {{ '<' | e }} {{ 'x' | safe }} {{ 5 | string ~ 'x' }} {{ 'a b  c' | wordcount }} {{ 'aXa' | replace('X', 'Y') }} {{ 'a\nb\n\nc' | indent }} {{ 'a\nb' | indent(2, true) }} {{ 'a\n\nb' | indent(1, blank=true) }} {{ [1, 2, 3] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 0) | list }}
{{ {'b': 1, 'A': 2} | dictsort }} {{ {'b': 1, 'a': 2} | dictsort(false, 'value') }} {{ {'a': 1} | items | list }} {{ {'a': 1} | attr('b') is defined }}
{{ 1 is number }} {{ 'a' is string }} {{ none is none }} {{ [] is iterable }} {{ [] is sequence }} {{ {} is mapping }} {{ 'a' is mapping }} {{ 1 is integer }} {{ 1.0 is float }} {{ true is boolean }} {{ true is integer }} {{ true is number }} {{ 1 is true }} {{ true is true }} {{ false is false }} {{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 1 is eq 1 }} {{ 1 is not eq(2) }} {{ 2 is gt 1 }} {{ 1 is in [1, 2] }} {{ 'AB' is upper }} {{ 'ab' is lower }} {{ none is sameas none }} {{ range is callable }} {{ 'x' is sameas 'x' or true }} {{ x is undefined }} {{ 'a' is iterable and 'a' is sequence }}
{% for i in range(3) %}{{ i }}{{ ',' if not loop.last }}{% endfor %} {% for i in range(1, 10, 3) %}{{ i }} {% endfor %}{% for i in range(3, 0, -1) %}{{ i }}{% endfor %}
{% for a, b in [[1, 2], [3, 4]] %}{{ a }}-{{ b }};{% endfor %}{% for k, v in {'x': 1, 'y': 2}.items() %}{{ k }}={{ v }};{% endfor %}{% for k in {'x': 1} %}{{ k }}{% endfor %}{% for c in 'héé' %}[{{ c }}]{% endfor %}
{% for i in [] %}x{% else %}empty{% endfor %}{% for i in [1] %}x{% else %}empty{% endfor %}{% for i in nothing %}x{% else %}none{% endfor %}
{% for i in [1, 2, 3, 4] if i is even %}{{ loop.index }}/{{ loop.length }}:{{ i }} {% endfor %}{% for i in [1, 2, 3] %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem is defined }} {% endfor %}
{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{{ loop.cycle('x', 'y') }}{{ loop.depth }}{% for j in [1] %}{{ loop.depth }}{% endfor %}{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }};{% endfor %}{{ x }}{% if true %}{% set x = 9 %}{% endif %}{{ x }}
{% set ns = namespace(n=0, s='') %}{% for i in range(4) %}{% set ns.n = ns.n + i %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.n }}{{ ns.s }}{{ ns.missing is defined }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = [3, 4] %}{{ c }}{{ d }}{% set t = 1, %}{{ t | length }}
{% set block %}  inner {{ 1 + 1 }} {% endset %}[{{ block }}]{% set block | trim | upper %} shout {% endset %}[{{ block }}]
{% macro m(a, b='B', c=none) %}({{ a }}{{ b }}{{ c }}){% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(a=1, c=3) }}{{ m() }}{{ m('x') | length }}
{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n * (fact(n - 1) | int) }}{% endif %}{% endmacro %}{{ fact(5) }}{% set g = 7 %}{% macro see() %}{{ g }}{% endmacro %}{{ see() }}
{% filter upper %}abc {{ 'd' }}{% endfilter %}{% for i in range(9) %}{% if i == 2 %}{% continue %}{% elif i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% if 0 %}a{% elif '' %}b{% elif [] %}c{% elif {} %}d{% else %}e{% endif %}{% if 'x' and 0 %}y{% endif %}{{ 0 or 'z' }}{{ 1 and 2 }}{{ none or false or '' }}|
{{ dict(a=1, b=2) }} {{ dict({'a': 1}, b=2) }} {{ raise_exception('stop') if false }} {{ 'n' ~ namespace(a=1).a }}
{{ "a\tb\x41\u00e9\U0001F600\'\"\\\q" }} {{ 'multi
line' }}
{{ messages[0].content.split('x')[0] }}{{ messages | map(attribute='role') | join(',') }}{{ messages[-1]['role'] }}{{ messages | length }}{{ messages[1:] | length }}{{ messages[0] == messages[0] }}{{ (messages | selectattr('role', '==', 'user') | list)[-1].role }}
{{ '%s-%s' }} {# a comment {{ not }} {% seen %} #}after{#- strip -#}   x  {#+ keep +#} y
{{ [1,2,3,] }} {{ {'a': 1,} }} {{ ( 1 ) }} {{ (1, 2) | length }} {{ [ 'a' , "b" ] | join(' ') }} {{ 'a' if 'b' in 'abc' and not false else 'c' }}
{{ 1.0 }} {{ 1.5 }} {{ 100000000000000000000.0 }} {{ 1e16 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1 / 3 }} {{ 2.0 * 3 }} {{ 10 ** 2 }}
{{ 'x' is not none and 'x' is string }} {{ (1 is defined) and (y is not defined) }} {{ not x is defined }} {{ 5 is not divisibleby 2 }}
{{ 1 + }}
{{ 'unclosed }}
{% if true %}no end
{% for x in %}{% endfor %}
{{ undefined_name.attribute }}
{{ undefined_name + 1 }}
{{ 'a' + 1 }}
{{ none + 'a' }}
{{ 1 < 'a' }}
{{ raise_exception('refused') }}
{% endif %}
{{ [1, 2].append(3) }}
{{ 'a'.nope() }}
{{ 5 | nosuchfilter }}
{{ 5 is nosuchtest }}
{{ 1 // 0 }}
{% set x.y = 1 %}
{{ nothing() }}
{% for i in 5 %}{% endfor %}
{{ 'a' ~ }}
{{ }}
{% unknown %}
{{ {'a': 1}.b.c }}
{{ m(1, 2, 3) }}{% macro m(a) %}{% endmacro %}
{% break %}
{{ range(200000) | length }}
{{ 'abc'[::0] }}
"""


def snippets():
    """One template a line; one of them holds a string over two lines."""
    return [line.replace("\0", "\n") for line in SNIPPETS.replace("multi\nline", "multi\0line").split("\n") if line]


def white_space_template(rng):
    """Tags of every kind with every sign, among spaces and line breaks."""
    parts = []
    for _ in range(rng.randint(1, 8)):
        parts.append("".join(rng.choice([" ", "\n", "  ", "\t", "x", "\n\n", "\r\n", "{", "}", "%", "\u00a0"]) for _ in range(rng.randint(0, 4))))
        opening, closing = rng.choice(["", "-", "+"]), rng.choice(["", "-", "+"])
        kind = rng.randint(0, 4)
        if kind == 0:
            parts.append("{{" + rng.choice(["", "-"]) + " 'v' " + rng.choice(["", "-"]) + "}}")
        elif kind == 1:
            parts.append("{#" + opening + " c " + closing + "#}")
        elif kind == 2:
            parts.append("{%" + opening + " set a = 1 " + closing + "%}")
        elif kind == 3:
            parts.append("{%" + opening + " if true " + closing + "%}" + rng.choice([" ", "\n", " y\n", "\n  "]) + "{%" + closing + " endif " + opening + "%}")
        else:
            parts.append("{%" + opening + " for i in [1, 2] " + closing + "%}" + rng.choice([" ", "\n", " {{ i }}\n", "\n  {{- i -}}  \n "]) + "{%" + closing + " endfor " + opening + "%}")
    parts.append(rng.choice(["", "\n", "\n\n", " ", " \n"]))
    return "".join(parts)


def cases(count, seed=1):
    """(name, template, messages, tools, extra variables): every template with `count` conversations, then the small ones."""
    rng = random.Random(seed)
    for name, template in TEMPLATES.items():
        for _ in range(count):
            messages, tools = conversation(rng)
            extra = {"enable_thinking": rng.random() < 0.5} if rng.random() < 0.2 else {}
            yield name, template, messages, tools, extra
    messages = [{"role": "user", "content": "axb"}, {"role": "assistant", "content": "y"}, {"role": "user", "content": "z"}]
    for i, template in enumerate(snippets()):
        yield f"snippet {i}", template, messages, None, {}
    for i in range(20 * count):
        yield f"white space {i}", white_space_template(rng), messages, None, {}
