"""What tracers store of a model's call, in the forms of all providers -> trajectories.

`call` makes a trajectory of an input and an output. `sides` reads those, `message` and `parts` their
messages, `langchain` LangChain's. `spans` reads spans of OpenTelemetry in every wrapping, `conventions` and
`events` find the call in a span, `scores` whether it solved its task, `tree` what the calls of a trace
have in common. The formats of single tracers are built out of these.
"""
