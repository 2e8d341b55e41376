"""The model's call in a span, by the conventions that instrumentations follow or followed.

OpenTelemetry's for generative AI (attributes, before them events), OpenInference, OpenLLMetry (Traceloop),
the Vercel AI SDK, MLflow, Langfuse, LangSmith, Genkit, Google's ADK and Pydantic AI.
"""

from typing import Any

from lar.errors import TrajectoryError
from lar.trajectories.draft import Draft
from lar.trajectories.formats.tracers.calls.call import make_draft
from lar.trajectories.formats.tracers.calls.events import conversation_of, input_events, output_events
from lar.trajectories.formats.tracers.calls.scores import solved_by
from lar.trajectories.formats.tracers.calls.sides import listed, system_messages
from lar.trajectories.formats.tracers.calls.spans import Span
from lar.trajectories.raw import from_json_text, text_or_none

# Attributes that name the kind of a span, and their values where it is a call of a model.
_KINDS = {
    "langfuse.observation.type": ("generation",),
    "openinference.span.kind": ("llm",),
    "langsmith.span.kind": ("llm",),
    "gen_ai.operation.name": ("chat", "text_completion", "completion", "generate_content", "generate"),
    "mlflow.spanType": ("chat_model", "llm"),
    "genkit:metadata:subtype": ("model", "background-model"),
    "llm.request.type": ("chat", "completion"),
    "traceloop.span.kind": (),
}
_AGENTS = ("agent", "invoke_agent", "chain", "workflow")
_OF_VERCEL = (".doGenerate", ".doStream")  # its calls of the provider; the spans around them repeat them

_INPUTS = (
    *("gen_ai.input.messages", "llm.input_messages", "gen_ai.prompt", "ai.prompt.messages"),
    *("langfuse.observation.input", "mlflow.chat.messages", "mlflow.spanInputs", "genkit:input"),
    *("gcp.vertex.agent.llm_request", "llm.prompts", "input.value", "traceloop.entity.input", "input"),
)
_OUTPUTS = (
    *("gen_ai.output.messages", "llm.output_messages", "gen_ai.completion", "langfuse.observation.output"),
    *("mlflow.spanOutputs", "genkit:output", "gcp.vertex.agent.llm_response", "llm.choices", "output.value"),
    *("traceloop.entity.output", "output"),
)
_SYSTEM = ("gen_ai.system_instructions", "gen_ai.system.instructions")
_TOOLS = (
    *("gen_ai.tool.definitions", "llm.tools", "llm.request.functions", "ai.prompt.tools"),
    *("mlflow.chat.tools", "model_request_parameters", "gen_ai.request.tools"),
    *("gen_ai.request.configuration", "llm.invocation_parameters"),
)
_MODELS = ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "ai.model.id", "model_name")
_TORN = (
    "the beginning of its answer is missing: the tracer has dropped attributes (OTEL_ATTRIBUTE_COUNT_LIMIT)"
)
_COUNTS = ("n", "candidate_count", "candidateCount")  # of the answers that a request asks for
_IN_AN_OBJECT = ("tools", "functions", "function_tools", "output_tools")


def is_call(span: Span) -> bool:
    """Whether the span is a call of a model; where no attribute names its kind, its content decides."""
    operation = str(span.get("ai.operationId", "operation.name") or "")
    if operation.startswith("ai."):
        return any(step in operation for step in _OF_VERCEL)
    for name, calls in _KINDS.items():
        kind = span.get(name)
        if isinstance(kind, str):
            return kind.strip('"').lower() in calls
    return input_of(span) is not None or output_of(span) is not None


def is_agent(span: Span) -> bool:
    """Whether the span is a run of an agent or a chain."""
    return any(str(span.get(name) or "").strip('"').lower() in _AGENTS for name in _KINDS)


def read_call(span: Span) -> Draft | None:
    """Return the trajectory of a span's input and output; None without messages."""
    return _draft(span, input_of(span), answer_of(span), is_whole=not is_call(span))


def read_conversation(span: Span) -> Draft | None:
    """Return the conversation that the span of an agent holds whole; None where it holds none."""
    return _draft(span, span.get("pydantic_ai.all_messages") or conversation_of(span), None, is_whole=True)


def _draft(span: Span, given: Any, answered: Any, *, is_whole: bool = False) -> Draft | None:
    if given is None and answered is None:
        return None
    return make_draft(
        with_system(given, span),
        _first_choice(span, answered),
        is_whole=is_whole,
        tools=tools_of(span),
        id=span.id,
        task=span.trace,
        success=solved_by(scores_of(span)),
        model=text_or_none(span.get(*_MODELS)),
    )


def with_system(given: Any, span: Span) -> Any:
    """Return the input with the system's text that the span has beside it, where it has none of its own."""
    messages, system = from_json_text(given), span.get(*_SYSTEM)
    if system is None or not isinstance(messages, list | str | None):
        return given
    if any(isinstance(item, dict) and item.get("role") == "system" for item in messages or []):
        return given
    return {"system": system_messages(system), "messages": messages or []}


def _first_choice(span: Span, answered: Any) -> Any:
    """Return the first of as many answers as the request asks for."""
    parameters = from_json_text(span.get("llm.invocation_parameters"))
    counts = [parameters.get(name) for name in _COUNTS] if isinstance(parameters, dict) else []
    answers = from_json_text(answered)
    is_several = isinstance(answers, list) and len(answers) > 1
    counts.append(span.get("gen_ai.request.choice.count"))
    return answers[:1] if is_several and str(len(answers)) in map(str, counts) else answered


def input_of(span: Span) -> Any:
    """Return a call's input as its span has it."""
    details = _details(span).get("gen_ai.input.messages")
    if details is not None:
        return details
    whole, torn = _whole_and_torn(span, _INPUTS)
    found = input_events(span) if whole is None else whole
    return _with_roles(torn) if found is None else found


def output_of(span: Span) -> Any:
    """Return a call's output as its span has it; None where its beginning is missing."""
    details = _details(span).get("gen_ai.output.messages")
    if details is not None:
        return details
    found = _whole_and_torn(span, _OUTPUTS)[0]
    return found if found is not None else _vercel_reply(span) or output_events(span)


def answer_of(span: Span) -> Any:
    """Return a call's output as its span has it.

    Raises:
        TrajectoryError: the beginning of the output is missing.
    """
    found = output_of(span)
    if found is None and _whole_and_torn(span, _OUTPUTS)[1] is not None:
        raise TrajectoryError(_TORN)
    return found


def _whole_and_torn(span: Span, names: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the first of the attributes that is whole, and the first whose beginning is missing."""
    torn = None
    for name in names:
        value = span.indexed(name)
        if value is not None and not span.is_torn(name):
            return value, torn
        torn = value if torn is None else torn
    return None, torn


def _with_roles(messages: Any) -> Any:
    """Return the messages without those whose role is missing: of the first, attributes may be."""
    if not isinstance(messages, list):
        return messages
    inner = [item.get("message", item) if isinstance(item, dict) else {} for item in messages]
    return [item for item, body in zip(messages, inner, strict=True) if "role" in body] or None


def _details(span: Span) -> dict[str, Any]:
    """Return the attributes of the event that may hold what the span's attributes otherwise hold."""
    name = "gen_ai.client.inference.operation.details"
    return next((fields for event, fields in span.events if event == name), {})


def _vercel_reply(span: Span) -> Any:
    text = span.get("ai.response.text", "ai.result.text", "ai.response.object", "ai.result.object")
    calls = from_json_text(span.get("ai.response.toolCalls", "ai.result.toolCalls"))
    if text is None and not calls:
        return None
    thought = span.get("ai.response.reasoning")
    return {"role": "assistant", "content": text or "", "tool_calls": calls, "reasoning_content": thought}


def tools_of(span: Span) -> list[Any] | None:
    """Return the schemas of the tools that were offered in a call."""
    return next((schemas for name in _TOOLS if (schemas := _schemas(span, name))), None)


def _schemas(span: Span, name: str) -> list[Any]:
    """Return the schemas in an attribute: a list of them, or an object that has one."""
    raw = from_json_text(span.indexed(name))
    if isinstance(raw, dict):
        raw = [tool for key in _IN_AN_OBJECT for tool in listed(raw.get(key) or [])]
    return [tool for tool in map(from_json_text, listed(raw)) if isinstance(tool, dict)]


def scores_of(span: Span) -> list[tuple[Any, Any]]:
    """Return the evaluations in a span as pairs: events of OpenTelemetry, annotations of OpenInference."""
    pairs: list[tuple[Any, Any]] = []
    for name, fields in span.events:
        if name == "gen_ai.evaluation.result":
            score = fields.get("gen_ai.evaluation.score.value", fields.get("gen_ai.evaluation.score.label"))
            pairs.append((fields.get("gen_ai.evaluation.name"), score))
    for kind in ("annotation", "evaluation"):
        for place in (f"{kind}s", f"trace.{kind}s"):
            items = [item for item in listed(span.indexed(place)) if isinstance(item, dict)]
            pairs += [_score(item.get(kind, item), kind) for item in items]
    return pairs


def _score(item: Any, kind: str) -> tuple[Any, Any]:
    fields = {key.removeprefix(f"{kind}."): value for key, value in item.items()}
    score = fields.get("score")
    return fields.get("name"), fields.get("label") if score is None else score
