"""The small tables: what the console lists, and what users keep themselves."""

from runbook_lib.schema.columns import ACCOUNT, ORIGIN, Column, Table, money, text

REFUSALS = Table(
    name="refusals",
    row="a failed request of the console's list; it has no id",
    columns=(
        ACCOUNT,
        Column(name="ts", type="instant", nullable=False, meaning="Time of the refusal"),
        text("key_name", "Name of the key"),
        text("model", "Model asked; null where the door refused before reading it"),
        text("endpoint", "Inbound endpoint"),
        Column(name="status", type="int", meaning="Status, of the upstream where it answered"),
        text("category", "Category of the console: auth, other …"),
        text("provider", "Protocol of the group"),
        text("ip_address", "Address the gateway saw"),
        text("user_agent", "Agent the gateway saw"),
        text("group_name", "Group of the key"),
        *ORIGIN,
    ),
)

KEYS = Table(
    name="keys",
    row="a cap of a key in the user's own inventory; a key can stand on several",
    columns=(
        ACCOUNT,
        Column(name="key_name", type="text", nullable=False, meaning="Name of the key"),
        text("environment", "Environment it is for"),
        text("owner", "Team or person that owns it", focus="x_Owner"),
        text("service", "Services that use it, parted by ;"),
        text("group", "Group of the gateway it belongs to"),
        Column(name="created_at", type="instant", meaning="Creation"),
        Column(name="expires_at", type="instant", meaning="Expiry; null for none"),
        Column(name="cap_amount", type="money", meaning="Cap; null for none"),
        text("cap_currency", "USD or CNY"),
        text("cap_window", "total, 5h, 1d, 7d or month"),
        text("ip_allowlist", "Addresses and ranges, parted by ;"),
        text("model_allowlist", "Models, parted by ;"),
        text("replaced_by", "Successor after rotation"),
        text("note", "Note"),
        *ORIGIN,
    ),
)

PLAN_WINDOWS = {"plan_1d": "daily", "plan_7d": "weekly", "plan_month": "monthly"}
"""Window of a subscription in `key_state` → how the gateway's answer calls it (M)."""

KEY_STATE = Table(
    name="key_state",
    row="a live answer of GET /v1/usage or /v1/models for one key",
    columns=(
        ACCOUNT,
        text("key_name", "Name of the key asked"),
        Column(name="asked_at", type="instant", meaning="When it was asked"),
        text("question", "usage or models"),
        Column(name="status", type="int", meaning="Status of the answer"),
        text("code", "Code of a refusal"),
        text("mode", "quota_limited or unrestricted"),
        text(
            "window",
            "total, 5h, 1d, 7d; plan_1d, plan_7d, plan_month of a subscription; one row each; "
            "null for models and refusals",
        ),
        money("limit_usd", "Limit of that window"),
        money("used_usd", "Used of it; the total lags up to five minutes (M)"),
        money("remaining_usd", "Left of it"),
        Column(name="reset_at", type="instant", meaning="When the window rolls over"),
        Column(name="expires_at", type="instant", meaning="Expiry of the key"),
        money("balance_usd", "Balance of the account, where it is answered"),
        money("cost_usd", "Billed on this key so far; does not lag (M)"),
        text("models", "Models listed, joined by a comma"),
        *ORIGIN,
    ),
)

AUDIT = Table(
    name="audit",
    row="an act on a key, by whom and when",
    columns=(
        ACCOUNT,
        Column(name="ts", type="instant", nullable=False, meaning="Time of the act"),
        text("action", "keys.create, keys.update, keys.delete, auth.login …"),
        text("actor", "Masked actor"),
        text("key_id", "Id of the key in the console, where the act names one"),
        text("key_name", "Name of the key, where the act or an earlier one names it"),
        text("method", "HTTP method"),
        text("path", "Path of the console"),
        text("request_id", "Id of the console's request"),
        text("ip_address", "Address of the actor"),
        text("change", "What was set, as a JSON object; secrets removed"),
        Column(name="status", type="int", meaning="Status of the act"),
        *ORIGIN,
    ),
)

LEDGER = Table(
    name="ledger",
    row="a top-up, refund or reading of the balance",
    columns=(
        ACCOUNT,
        Column(name="ts", type="instant", nullable=False, meaning="Time"),
        text("kind", "top_up, refund or reading"),
        Column(name="amount", type="money", meaning="Amount; null for a reading"),
        text("currency", "USD or CNY"),
        Column(name="balance", type="money", meaning="Balance after it, where known"),
        *ORIGIN,
    ),
)

BUDGET = Table(
    name="budget",
    row="a budget of an environment or a key for a month",
    columns=(
        ACCOUNT,
        text("environment", "Environment, or null"),
        text("key_name", "Key, or null"),
        text("month", "Month as YYYY-MM"),
        Column(name="amount", type="money", nullable=False, meaning="Budget"),
        text("currency", "USD or CNY"),
        *ORIGIN,
    ),
)

PRICES = Table(
    name="prices",
    row="a price the user knows better than the list",
    columns=(
        ACCOUNT,
        Column(name="model", type="text", nullable=False, meaning="Model"),
        Column(
            name="token_kind",
            type="text",
            nullable=False,
            meaning="input, output, cache_read, cache_write, cache_write_1h",
        ),
        Column(
            name="usd_per_million",
            type="money",
            nullable=False,
            unit="USD",
            meaning="Price of a million tokens",
        ),
        Column(name="from", type="instant", meaning="Valid from"),
        Column(name="to", type="instant", meaning="Valid until"),
        *ORIGIN,
    ),
)

PLANNED = Table(
    name="planned",
    row="activity that is planned and no surprise",
    columns=(
        ACCOUNT,
        Column(name="start", type="instant", nullable=False, meaning="Start"),
        Column(name="end", type="instant", nullable=False, meaning="End"),
        text("key_name", "Key, or null for all"),
        Column(name="factor", type="real", unit="factor", meaning="Times the usual load"),
        text("note", "What is planned"),
        *ORIGIN,
    ),
)
