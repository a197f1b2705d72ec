"""What is known of the gateway, as data: causes, the error table, statuses, names and numbers.

One home for each fact: `causes` (words of contract §3.3), `rows` (the table of §3.2), `statuses`
(what a status alone can mean) and `facts` (headers, ids, addresses, end markers, times).
Everything else in the project refers to them.
"""

from runbook_lib.contract.causes import (
    CAUSES,
    MOST_CANDIDATES,
    shared_domain,
    shared_retry,
)
from runbook_lib.contract.facts import (
    ADVISED_TIMEOUT_S,
    BAD_KEY_CALLS,
    BAD_KEY_WINDOW_S,
    BASE_URLS,
    CLIENT_REQUEST_ID_HEADER,
    COOLDOWN_S,
    ENDPOINTS,
    KEY_HEADERS,
    KEY_STATE_LAG_S,
    LONGEST_REQUEST_ID,
    OUTAGE_ECHO_S,
    PAGE_ROWS,
    REFUSALS_KEPT_DAYS,
    REQUEST_ID_HEADER,
    RETRY_AFTER_HEADER,
    RETRY_AFTER_MS_HEADER,
    SHORT_WAIT_S,
    SHOULD_RETRY_HEADER,
    SLOT_WAIT_S,
    SLOWEST_ANSWER_S,
    STREAM_ENDS,
    USAGE_ID_PREFIXES,
    USAGE_KEPT_DAYS,
    bare_id,
)
from runbook_lib.contract.rows import ROWS, Row, Shape, Wait, joined_fix
from runbook_lib.contract.statuses import Default, by_console_status, by_status
from runbook_lib.contract.words import Cause, Domain, Retry

__all__ = [
    "ADVISED_TIMEOUT_S",
    "BAD_KEY_CALLS",
    "BAD_KEY_WINDOW_S",
    "BASE_URLS",
    "CAUSES",
    "CLIENT_REQUEST_ID_HEADER",
    "COOLDOWN_S",
    "ENDPOINTS",
    "KEY_HEADERS",
    "KEY_STATE_LAG_S",
    "LONGEST_REQUEST_ID",
    "MOST_CANDIDATES",
    "OUTAGE_ECHO_S",
    "PAGE_ROWS",
    "REFUSALS_KEPT_DAYS",
    "REQUEST_ID_HEADER",
    "RETRY_AFTER_HEADER",
    "RETRY_AFTER_MS_HEADER",
    "ROWS",
    "SHORT_WAIT_S",
    "SHOULD_RETRY_HEADER",
    "SLOT_WAIT_S",
    "SLOWEST_ANSWER_S",
    "STREAM_ENDS",
    "USAGE_ID_PREFIXES",
    "USAGE_KEPT_DAYS",
    "Cause",
    "Default",
    "Domain",
    "Retry",
    "Row",
    "Shape",
    "Wait",
    "bare_id",
    "by_console_status",
    "by_status",
    "joined_fix",
    "shared_domain",
    "shared_retry",
]
