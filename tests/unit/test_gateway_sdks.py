"""The three real SDKs against the sandbox: whole, streamed, async; tools, forms, lists, vectors."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gateway_kit import Running, running
from pydantic import BaseModel

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
GPT, CLAUDE, PRO = "gpt-5.4", "claude-sonnet-4-6", "gemini-2.5-pro"


class Trip(BaseModel):
    """What is asked for in a form."""

    city: str
    days: int


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One sandbox for all clients."""
    with running(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


@pytest.fixture(scope="module")
def openai(run: Running) -> Iterator[Any]:
    """OpenAI's SDK."""
    sdk = pytest.importorskip("openai")
    base = f"{run.sandbox.listening.base_url}/v1"
    with sdk.OpenAI(base_url=base, api_key=run.secret("prod-web")) as client:
        yield client


@pytest.fixture(scope="module")
def translated(run: Running) -> Iterator[Any]:
    """OpenAI's SDK with keys of groups that translate: a Responses upstream, Claude, Gemini."""
    sdk = pytest.importorskip("openai")
    base = f"{run.sandbox.listening.base_url}/v1"
    with sdk.OpenAI(base_url=base, api_key=run.secret("prod-docs")) as client:
        yield client


@pytest.fixture(scope="module")
def claude(run: Running) -> Iterator[Any]:
    """Anthropic's SDK."""
    sdk = pytest.importorskip("anthropic")
    base = run.sandbox.listening.base_url
    with sdk.Anthropic(base_url=base, api_key=run.secret("prod-assistant")) as client:
        yield client


@pytest.fixture(scope="module")
def gemini(run: Running) -> Iterator[Any]:
    """Google's SDK."""
    sdk = pytest.importorskip("google.genai")
    options = {"base_url": run.sandbox.listening.base_url, "api_version": "v1beta"}
    client = sdk.Client(api_key=run.secret("prod-vision"), http_options=options)
    yield client
    client.close()


# Tools ------------------------------------------------------------------------------------------

FUNCTION = {"name": "plan", "description": "Plan a trip.", "parameters": SCHEMA}
CHAT_TOOLS = [{"type": "function", "function": FUNCTION}]


def fits(arguments: str | dict[str, Any]) -> bool:
    """The arguments are those that the schema asks for."""
    held = json.loads(arguments) if isinstance(arguments, str) else arguments
    return held == {"city": "pong", "days": 2}


@pytest.mark.parametrize("which", ["openai", "translated"])
def test_chat_completions_call_a_tool_and_then_speak(
    which: str, request: pytest.FixtureRequest
) -> None:
    """A loop over tools as every tutorial has it ends after one round."""
    client = request.getfixturevalue(which)
    messages: list[Any] = list(ASKED["messages"])
    first = client.chat.completions.create(model=GPT, messages=messages, tools=CHAT_TOOLS)
    choice = first.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    call = choice.message.tool_calls[0]
    assert call.function.name == "plan"
    assert fits(call.function.arguments)
    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "done"}]
    second = client.chat.completions.create(model=GPT, messages=messages, tools=CHAT_TOOLS)
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content


@pytest.mark.parametrize("which", ["openai", "translated"])
def test_a_streamed_tool_call_adds_up(which: str, request: pytest.FixtureRequest) -> None:
    """The SDK puts the pieces of the arguments together."""
    client = request.getfixturevalue(which)
    with client.chat.completions.stream(model=GPT, tools=CHAT_TOOLS, **ASKED) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    assert fits(message.tool_calls[0].function.arguments)


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        pytest.param("none", False, id="none"),
        pytest.param("auto", True, id="auto"),
        pytest.param("required", True, id="required"),
        pytest.param({"type": "function", "function": {"name": "plan"}}, True, id="named"),
    ],
)
def test_the_choice_of_a_tool_is_obeyed(choice: Any, *, called: bool, openai: Any) -> None:
    """`none` forbids, the rest allows or forces."""
    other = {"type": "function", "function": {"name": "other", "parameters": {"type": "object"}}}
    tools = [*CHAT_TOOLS, other]
    made = openai.chat.completions.create(model=GPT, tools=tools, tool_choice=choice, **ASKED)
    calls = made.choices[0].message.tool_calls
    assert bool(calls) is called
    assert not called or calls[0].function.name == "plan"


def test_responses_call_a_tool_whole_and_streamed(openai: Any) -> None:
    """Items, arguments and events are those that the SDK reads."""
    tools = [{"type": "function", **FUNCTION, "strict": True}]
    made = openai.responses.create(model=GPT, input="hi", tools=tools)
    item = made.output[0]
    assert (item.type, item.name, fits(item.arguments)) == ("function_call", "plan", True)
    result = {"type": "function_call_output", "call_id": item.call_id, "output": "done"}
    again = openai.responses.create(model=GPT, input=[item, result], tools=tools)
    assert again.output_text
    with openai.responses.stream(model=GPT, input="hi", tools=tools) as stream:
        parts = [e.delta for e in stream if e.type == "response.function_call_arguments.delta"]
        final = stream.get_final_response()
    assert fits("".join(parts))
    assert fits(final.output[0].arguments)


def test_messages_call_a_tool_whole_and_streamed(claude: Any) -> None:
    """Blocks, input and stop reason; after the result it speaks."""
    tools = [{"name": "plan", "description": "Plan a trip.", "input_schema": SCHEMA}]
    asked = {"model": CLAUDE, "max_tokens": 50, "tools": tools}
    made = claude.messages.create(**asked, **ASKED)
    block = made.content[0]
    assert (made.stop_reason, block.type, block.name) == ("tool_use", "tool_use", "plan")
    assert fits(block.input)
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "done"}
    messages = [
        *ASKED["messages"],
        {"role": "assistant", "content": made.content},
        {"role": "user", "content": [result]},
    ]
    assert claude.messages.create(**asked, messages=messages).stop_reason == "end_turn"
    with claude.messages.stream(**asked, **ASKED) as stream:
        assert fits(stream.get_final_message().content[0].input)


def test_gemini_calls_a_tool_whole_and_streamed(gemini: Any) -> None:
    """Declared functions come back as parts; after the result it speaks."""
    types = pytest.importorskip("google.genai.types")
    properties = {"city": {"type": "STRING"}, "days": {"type": "INTEGER", "minimum": 2}}
    parameters = {"type": "OBJECT", "properties": properties, "required": ["city", "days"]}
    declared = {"name": "plan", "description": "Plan a trip.", "parameters": parameters}
    config = types.GenerateContentConfig(tools=[{"function_declarations": [declared]}])
    made = gemini.models.generate_content(model=PRO, contents="hi", config=config)
    assert fits(made.function_calls[0].args)
    streamed = gemini.models.generate_content_stream(model=PRO, contents="hi", config=config)
    assert fits(next(iter(streamed)).function_calls[0].args)
    result = types.Part.from_function_response(name="plan", response={"done": True})
    contents = [made.candidates[0].content, types.Content(role="user", parts=[result])]
    assert gemini.models.generate_content(model=PRO, contents=contents, config=config).text


# Forms ------------------------------------------------------------------------------------------


def test_every_protocol_answers_in_the_form_that_is_asked(
    openai: Any, claude: Any, gemini: Any
) -> None:
    """A structured answer passes the SDK's own parser."""
    chat = openai.chat.completions.parse(model=GPT, response_format=Trip, **ASKED)
    said = openai.responses.parse(model=GPT, input="hi", text_format=Trip)
    spoken = claude.messages.parse(model=CLAUDE, max_tokens=50, output_format=Trip, **ASKED)
    config = {"response_mime_type": "application/json", "response_schema": Trip}
    told = gemini.models.generate_content(model=PRO, contents="hi", config=config)
    found = [chat.choices[0].message.parsed, said.output_parsed, spoken.parsed_output, told.parsed]
    assert [(trip.city, trip.days) for trip in found] == [("pong", 1)] * 4


def test_a_json_object_is_one(openai: Any) -> None:
    """Without a schema any object will do."""
    form = {"type": "json_object"}
    made = openai.chat.completions.create(model=GPT, response_format=form, **ASKED)
    assert json.loads(made.choices[0].message.content) == {}


# Vectors, lists, counts -------------------------------------------------------------------------


def test_vectors_are_as_many_and_as_long_as_asked(openai: Any) -> None:
    """The SDK asks for base64 by itself; the same text has the same vector."""
    model = "text-embedding-3-small"
    made = openai.embeddings.create(model=model, input=["a", "b", "a"], dimensions=64)
    one, other, again = (item.embedding for item in made.data)
    assert [len(one), len(other)] == [64, 64]
    assert one == again != other
    assert sum(value**2 for value in one) == pytest.approx(1)
    plain = openai.embeddings.create(model=model, input="a", dimensions=64, encoding_format="float")
    assert plain.data[0].embedding == one
    assert len(openai.embeddings.create(model=model, input=[1, 2, 3]).data) == 1
    assert plain.usage.total_tokens > 0


def test_every_sdk_lists_the_models_of_its_group(openai: Any, claude: Any, gemini: Any) -> None:
    """Each in the form of its own protocol."""
    assert GPT in [model.id for model in openai.models.list()]
    assert openai.models.list().data[0].object == "model"
    assert CLAUDE in [model.id for model in claude.models.list()]
    assert [model.name for model in gemini.models.list()] == [f"models/{PRO}"]
    assert gemini.models.get(model=PRO).name == f"models/{PRO}"


def test_counting_tokens_is_free(claude: Any, gemini: Any, run: Running) -> None:
    """A count leaves no usage row."""
    run.act("GET", "state")
    before = len(run.live.console.gateway.rows)
    assert claude.messages.count_tokens(model=CLAUDE, **ASKED).input_tokens > 0
    assert gemini.models.count_tokens(model=PRO, contents="hi").total_tokens > 0
    run.act("GET", "state")
    assert len(run.live.console.gateway.rows) == before


@pytest.mark.parametrize("key", ["prod-docs", "prod-assistant", "prod-vision"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_chat_completions_are_translated_into_what_the_group_speaks(
    key: str, *, stream: bool, run: Running
) -> None:
    """A key of another protocol's group answers OpenAI's client too."""
    sdk = pytest.importorskip("openai")
    model = {"prod-docs": GPT, "prod-assistant": CLAUDE, "prod-vision": PRO}[key]
    base = f"{run.sandbox.listening.base_url}/v1"
    usage = {"stream_options": {"include_usage": True}} if stream else {}
    with sdk.OpenAI(base_url=base, api_key=run.secret(key)) as client:
        made = client.chat.completions.create(model=model, stream=stream, **usage, **ASKED)
        if stream:
            chunks = list(made)
            text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
            last = chunks[-1]
        else:
            text, last = made.choices[0].message.content, made
    assert text
    assert last.usage.total_tokens == last.usage.prompt_tokens + last.usage.completion_tokens


# Async ------------------------------------------------------------------------------------------


async def _openai_async(run: Running) -> list[str]:
    sdk = pytest.importorskip("openai")
    base = f"{run.sandbox.listening.base_url}/v1"
    async with sdk.AsyncOpenAI(base_url=base, api_key=run.secret("prod-web")) as client:
        whole = await client.chat.completions.create(model=GPT, **ASKED)
        stream = await client.chat.completions.create(model=GPT, stream=True, **ASKED)
        parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
        said = await client.responses.create(model=GPT, input="hi")
        tool = await client.chat.completions.create(model=GPT, tools=CHAT_TOOLS, **ASKED)
        vectors = await client.embeddings.create(model="text-embedding-3-small", input="a")
        models = [model.id async for model in client.models.list()]
    assert fits(tool.choices[0].message.tool_calls[0].function.arguments)
    assert len(vectors.data[0].embedding) == 1536
    assert GPT in models
    return [whole.choices[0].message.content, "".join(parts), said.output_text]


async def _claude_async(run: Running) -> list[str]:
    sdk = pytest.importorskip("anthropic")
    base = run.sandbox.listening.base_url
    async with sdk.AsyncAnthropic(base_url=base, api_key=run.secret("prod-assistant")) as client:
        asked = {"model": CLAUDE, "max_tokens": 30, **ASKED}
        whole = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            parts = [text async for text in stream.text_stream]
        count = await client.messages.count_tokens(model=CLAUDE, **ASKED)
    assert count.input_tokens > 0
    return [whole.content[0].text, "".join(parts)]


async def _gemini_async(run: Running) -> list[str]:
    sdk = pytest.importorskip("google.genai")
    options = {"base_url": run.sandbox.listening.base_url, "api_version": "v1beta"}
    client = sdk.Client(api_key=run.secret("prod-vision"), http_options=options)
    asked = {"model": PRO, "contents": "hi"}
    whole = await client.aio.models.generate_content(**asked)
    stream = await client.aio.models.generate_content_stream(**asked)
    parts = [chunk.text or "" async for chunk in stream]
    count = await client.aio.models.count_tokens(**asked)
    await client.aio.aclose()
    client.close()
    assert count.total_tokens > 0
    return [whole.text, "".join(parts)]


@pytest.mark.parametrize("calls", [_openai_async, _claude_async, _gemini_async])
def test_the_async_clients_read_the_same(calls: Callable[[Running], Any], run: Running) -> None:
    """Whole answers and streams, in one event loop."""
    assert all(asyncio.run(calls(run)))


@pytest.mark.parametrize("alt", ["", "?alt=sse"], ids=["without-alt", "with-alt"])
def test_gemini_streams_events_with_and_without_alt(alt: str, run: Running) -> None:
    """The gateway streams by the path alone."""
    path = f"/v1beta/models/{PRO}:streamGenerateContent{alt}"
    headers = {"x-goog-api-key": run.secret("prod-vision")}
    found = run.client.post(path, headers=headers, json={"contents": []})
    assert found.headers["content-type"] == "text/event-stream"
    events = [json.loads(line[6:]) for line in found.text.splitlines() if line]
    assert events[-1]["candidates"][0]["finishReason"] == "STOP"


def test_a_key_of_another_protocol_is_told_so_in_googles_shape(run: Running) -> None:
    """`/v1beta` is for keys of Gemini groups."""
    headers = {"x-goog-api-key": run.secret("prod-web")}
    path = f"/v1beta/models/{PRO}:generateContent"
    for found in (
        run.client.post(path, headers=headers, json={"contents": []}),
        run.client.get("/v1beta/models", headers=headers),
    ):
        assert found.status_code == 400
        assert found.json()["error"]["status"] == "INVALID_ARGUMENT"


def test_the_base_addresses_with_api_before_them_work_too(run: Running, tmp_path: Path) -> None:
    """`/api/v1` and `/api/v1beta` are documented as well; `/api/v1/usage` is the console's."""
    del tmp_path
    key = {"authorization": f"Bearer {run.secret('prod-web')}"}
    body = {"model": GPT, **ASKED}
    assert run.client.post("/api/v1/chat/completions", headers=key, json=body).status_code == 200
    assert run.client.get("/api/v1/models", headers=key).status_code == 200
    goog = {"x-goog-api-key": run.secret("prod-vision")}
    path = f"/api/v1beta/models/{PRO}:generateContent"
    assert run.client.post(path, headers=goog, json={"contents": []}).status_code == 200
    assert run.client.get("/api/v1/usage", headers=key).json()["code"] == "INVALID_TOKEN"


@pytest.mark.long
def test_anthropic_wastes_attempts_on_a_reached_cap_too(run: Running, claude: Any) -> None:
    """Both official SDKs send every 429 three times (contract §3.2)."""
    sdk = pytest.importorskip("anthropic")
    headers = {"x-sandbox-fault": "key_cap_reached", "x-sandbox-run": "cap-claude"}
    with pytest.raises(sdk.RateLimitError) as caught:
        claude.messages.create(model=CLAUDE, max_tokens=5, extra_headers=headers, **ASKED)
    assert caught.value.body["code"] == "API_KEY_QUOTA_EXHAUSTED"
    seen = [line for line in run.log() if line["run"] == "cap-claude"]
    assert [line["attempt"]["x-stainless-retry-count"] for line in seen] == ["0", "1", "2"]
