"""Real SDKs call the sandbox: every surface, streams, and retries as they really happen."""

from collections.abc import Iterator
from typing import Any

import pytest
from gateway_kit import Running, running

ASKED: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One sandbox for all clients."""
    with running(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


@pytest.fixture
def openai_client(run: Running) -> Iterator[Any]:
    """The OpenAI SDK with its defaults."""
    openai = pytest.importorskip("openai")
    base = f"{run.sandbox.listening.base_url}/v1"
    with openai.OpenAI(base_url=base, api_key=run.secret("prod-web")) as client:
        yield client


@pytest.fixture
def anthropic_client(run: Running) -> Iterator[Any]:
    """The Anthropic SDK with its defaults."""
    anthropic = pytest.importorskip("anthropic")
    base = run.sandbox.listening.base_url
    with anthropic.Anthropic(base_url=base, api_key=run.secret("prod-assistant")) as client:
        yield client


def test_openai_reads_every_surface(openai_client: Any) -> None:
    """Answers and streams of all four endpoints pass the SDK's own models."""
    chat = openai_client.chat.completions
    whole = chat.create(model="gpt-5.4", **ASKED)
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    usage = {"include_usage": True}
    chunks = list(chat.create(model="gpt-5.4", stream=True, stream_options=usage, **ASKED))
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens > 0
    assert openai_client.responses.create(model="gpt-5.4", input="hi").output_text
    with openai_client.responses.stream(model="gpt-5.4", input="hi") as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text
    assert openai_client.embeddings.create(model="text-embedding-3-small", input="x").data
    assert "gpt-5.4" in [model.id for model in openai_client.models.list()]


def test_openai_wastes_attempts_on_a_reached_cap(run: Running, openai_client: Any) -> None:
    """The SDK retries a sticky 429 twice; the server's log counts them by the SDK's header."""
    openai = pytest.importorskip("openai")
    headers = {"x-sandbox-fault": "key_cap_reached", "x-sandbox-run": "cap"}
    with pytest.raises(openai.RateLimitError) as caught:
        openai_client.chat.completions.create(model="gpt-5.4", extra_headers=headers, **ASKED)
    assert caught.value.body["code"] == "API_KEY_QUOTA_EXHAUSTED"
    seen = [line for line in run.log() if line["run"] == "cap"]
    assert [line["attempt"]["x-stainless-retry-count"] for line in seen] == ["0", "1", "2"]
    assert {line["code"] for line in seen} == {"API_KEY_QUOTA_EXHAUSTED"}


@pytest.mark.parametrize("fault", ["status_503", "reset_before_bytes", "close_before_bytes"])
def test_openai_gets_through_after_a_failure(fault: str, openai_client: Any) -> None:
    """A fault that ends is survived by the SDK's own retry."""
    headers = {"x-sandbox-fault": f"{fault};times=1"}
    found = openai_client.chat.completions.create(
        model="gpt-5.4-nano", extra_headers=headers, **ASKED
    )
    assert found.choices[0].message.content


def test_anthropic_reads_messages_streams_and_counts(anthropic_client: Any) -> None:
    """The stream adds up to the message, and counting costs nothing."""
    asked = {"model": "claude-sonnet-4-6", **ASKED}
    whole = anthropic_client.messages.create(max_tokens=20, **asked)
    assert whole.usage.output_tokens <= 20
    with anthropic_client.messages.stream(max_tokens=20, **asked) as stream:
        text = "".join(stream.text_stream)
        assert stream.get_final_message().content[0].text == text
    assert anthropic_client.messages.count_tokens(**asked).input_tokens > 0


def test_genai_reads_answers_streams_and_counts(run: Running) -> None:
    """Google's SDK on `/v1beta`."""
    genai = pytest.importorskip("google.genai")
    options = {"base_url": run.sandbox.listening.base_url, "api_version": "v1beta"}
    client = genai.Client(api_key=run.secret("prod-vision"), http_options=options)
    asked = {"model": "gemini-2.5-pro", "contents": "hi"}
    assert client.models.generate_content(**asked).text
    parts = list(client.models.generate_content_stream(**asked))
    assert parts[-1].candidates[0].finish_reason == "STOP"
    assert client.models.count_tokens(**asked).total_tokens > 0
    client.close()
