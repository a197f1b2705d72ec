"""Words by which logs of any make call what we log: the first word of a list is believed most."""

import re

ALIASES: dict[str, tuple[str, ...]] = {
    column: tuple(words.split())
    for column, words in {
        "start": "starttime startedat startts requesttime requestedat sentat begin start",
        "end": "endtime endedat endts finishedat completedat finishtime respondedat end",
        "ts": "ts timestamp time datetime eventtime loggedat createdat asctime date t",
        "request_ids": "xrequestid rid requestid reqid torouterrequestid gatewayrequestid "
        "upstreamrequestid requestids",
        "client_request_id": "xclientrequestid clientrid clientrequestid clientreqid",
        "response_id": "responseid completionid answerid genairesponseid",
        "call_id": "callid job jobid traceid taskid logicalid correlationid operationid",
        "attempt": "attempt attemptnumber attemptno tryno trynumber try",
        "resend_count": "resendcount retrycount retries numretries retry",
        "key_name": "keyname apikeyalias apikeyname keyalias keylabel",
        "environment": "environment env deploymentenvironment deployenv stage",
        "service": "service servicename application appname app component",
        "provider": "provider protocol providername customllmprovider genaisystem vendor",
        "operation": "operation operationname calltype op",
        "model": "requestmodel modelname model modelid llmmodel modelrequested",
        "response_model": "responsemodel servedmodel actualmodel modelserved upstreammodel",
        "server": "serveraddress upstreamhost baseurl apibase server",
        "path": "urlpath path endpoint url uri",
        "user_agent": "useragent",
        "stream": "stream streaming isstream streamed",
        "status": "upstreamstatus httpstatuscode httpstatus statuscode responsestatus "
        "responsecode status code",
        "content_type": "contenttype responsecontenttype",
        "code": "errorcode errcode gatewaycode err error code",
        "error_type": "errortype exceptiontype exceptionclass exception errorclass exc errorname",
        "retry_after_s": "retryafters retryafter retryafterseconds",
        "stream_end": "streamend streamstatus",
        "finish_reasons": "finishreasons finishreason stopreason",
        "ttft_ms": "ttftms ttft timetofirsttokenms timetofirsttoken firsttokenms firstbytems",
        "duration_ms": "durationms latencyms elapsedms responsetimems tookms ms duration latency "
        "elapsed took responsetime durations latencys elapseds durationseconds latencyseconds "
        "elapsedseconds durationns durationus seconds",
        "input_tokens": "inputtokens prompttokens tokin tokensin tokeninput promptntokens",
        "output_tokens": "outputtokens completiontokens tokout tokensout tokenoutput",
        "cache_read_tokens": "cachereadinputtokens cachereadtokens cachedtokens cachedinputtokens "
        "tokcached tokenscached",
        "cache_write_tokens": "cachecreationinputtokens cachewritetokens cachecreationtokens",
        "traceparent": "traceparent",
    }.items()
}
"""Column of `calls` (or the start or end of an attempt) → names without case and punctuation."""

LLM_ONLY = (
    "model",
    "key_name",
    "client_request_id",
    "response_id",
    "input_tokens",
    "output_tokens",
)
"""Columns that only a call to a model has; a request id or a status stands in any web log."""

RESULTS = ("status", "code", "error_type", "duration_ms", "output_tokens", "stream_end")
"""Columns that only a finished attempt has: a line that says it starts is no attempt yet."""

_UNITS = (
    (re.compile(r"(?:ms|millis|milliseconds)$"), 1.0, "ms"),
    (re.compile(r"(?:ns|nanos|nanoseconds)$"), 1e-6, "ns"),
    (re.compile(r"(?:_us|micros|microseconds)$"), 1e-3, "µs"),
    (re.compile(r"(?:_s|_?secs?|seconds)$"), 1000.0, "s"),
)


def bare(name: str) -> str:
    """Give a name without case and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def unit_of(name: str) -> tuple[float, str] | None:
    """Read the unit of a length of time off its name: the factor to ms and the unit."""
    low = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    for pattern, factor, unit in _UNITS:
        if pattern.search(low):
            return factor, unit
    return None
