"""Which column of `usage` a column of an export is, in every form the console has had.

Names are compared without case, blanks, punctuation and units. Forms: contract §7 (M).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runbook_lib import redact

_ALIASES: Mapping[str, str] = {
    "ts": (
        "time timestamp createdat createdtime datetime date requesttime 时间 创建时间 请求时间 日期"
    ),
    "request_id": "requestid reqid 请求id 请求编号",
    "key_name": (
        "apikeyname apikey keyname key tokenname apikeys api密钥 api密钥名称 api密钥名 密钥"
        " 密钥名称 apikey名称 api令牌 令牌 令牌名称"
    ),
    "model": "model modelname 模型 模型名称",
    "endpoint": "inboundendpoint endpoint requestpath 入站端点 端点 请求端点 入口端点 接口",
    "ip_address": "ipaddress ip clientip ip地址 客户端ip",
    "user_agent": "useragent ua 用户代理 客户端",
    "group_name": "groupname group 分组 分组名称",
    "request_type": "type requesttype 类型 请求类型",
    "billing_mode": "billingmode 计费模式 计费方式",
    "reasoning_effort": "reasoningeffort effort 推理强度 推理力度 思考强度 推理等级",
    "input_tokens": "inputtokens inputtoken input prompttokens 输入tokens 输入token 输入 输入令牌",
    "output_tokens": (
        "outputtokens outputtoken output completiontokens 输出tokens 输出token 输出 输出令牌"
    ),
    "cache_read_tokens": (
        "cachereadtokens cachereadtoken cacheread cachedtokens 缓存读取tokens 缓存读取token"
        " 缓存读取 缓存读取令牌"
    ),
    "cache_write_tokens": (
        "cachecreationtokens cachewritetokens cachecreation cachewrite 缓存创建tokens 缓存创建token"
        " 缓存创建 缓存写入tokens 缓存写入token 缓存写入 缓存创建令牌"
    ),
    "cache_write_5m_tokens": "cachecreation5mtokens cachewrite5mtokens 缓存创建5m 缓存写入5m",
    "cache_write_1h_tokens": "cachecreation1htokens cachewrite1htokens 缓存创建1h 缓存写入1h",
    "rate_multiplier": "ratemultiplier rate multiplier 倍率 费率倍率 费率 计费倍率",
    "cost_usd": (
        "billedcost billed actualcost cost costusd billedcostusd 实际费用 计费费用 计费 费用 扣费"
        " 实际扣费 实际计费 计费金额 扣费金额"
    ),
    "original_cost_usd": (
        "originalcost original listcost originalcostusd 原始费用 原价 原始 原始成本 原始金额 原费用"
    ),
    "ttft_ms": (
        "firsttoken firsttokenms ttft ttftms 首token 首个token 首字 首token延迟 首字延迟 首字时间"
        " 首token耗时 首token时间 首tokenms"
    ),
    "duration_ms": "duration durationms latency latencyms 耗时 持续时间 用时 总耗时 时长 耗时ms",
    "status": "httpstatus httpstatuscode statuscode http状态 http状态码 状态码",
    "code": "errorcode 错误码 错误代码",
}
_KNOWN = {alias: column for column, names in _ALIASES.items() for alias in names.split()}
_TOTAL_COST, _CACHE = frozenset({"totalcost", "总费用"}), frozenset({"cachetokens"})
_UNIT = re.compile(r"[(（\[][^)）\]]*[)）\]]\s*$")
_NOT_WORD = re.compile(r"[^\w]|_")
_FOREIGN_MONEY = re.compile(r"(?i)cny|rmb|eur|gbp|¥|￥|€|£|元")

MONEY = frozenset({"cost_usd", "original_cost_usd", "rate_multiplier"})
COUNTS = frozenset(
    {
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "status",
    }
)
REALS = frozenset({"ttft_ms", "duration_ms"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the columns of one export are.

    Attributes:
        names: Column names as written.
        places: Column of `usage` → position in the row.
        others: Name → position of columns nobody declared, kept in `extra`.
        notes: What people should know: a name that stands twice, a cost that is missing.
    """

    names: Sequence[str]
    places: Mapping[str, int]
    others: Mapping[str, int]
    notes: Sequence[str]

    @property
    def usable(self) -> bool:
        """Whether this can be an export at all: a time, and something that was used."""
        used = {"model", "cost_usd", "input_tokens", "output_tokens"}
        return "ts" in self.places and not used.isdisjoint(self.places)


def norm(name: str) -> str:
    """Give a column name the form in which names are compared."""
    whole = name.strip().strip("\ufeff'").strip()
    return _NOT_WORD.sub("", _UNIT.sub("", whole) or whole).casefold()


def column(name: str) -> str | None:
    """Tell which column of `usage` a column name means; None for one nobody declared."""
    found = _KNOWN.get(norm(name))
    if found in MONEY and _FOREIGN_MONEY.search(name):
        return None
    return found


def header(names: Sequence[str]) -> Header:
    """Tell what each column is.

    Of two that mean the same the one with the console's own name counts, else the first.
    """
    places: dict[str, int] = {}
    others: dict[str, int] = {}
    notes: list[str] = []
    for position, name in sorted(enumerate(names), key=lambda item: not _proper(item[1])):
        found = column(name)
        if found is not None and found not in places:
            places[found] = position
            continue
        if found is not None:
            notes.append(f"two columns mean {found}: {redact.safe(name)!r} is kept aside")
        if not redact.is_secret_name(re.sub(r"\s+", "_", name.strip())):
            others[_other_name(name, position, others)] = position
    _old_forms(names, places, others, notes)
    if "cost_usd" not in places:
        notes.append("has no column of billed costs: they are unknown")
    return Header(names=names, places=places, others=others, notes=notes)


def _proper(name: str) -> bool:
    """Tell whether this is the console's own name of a column, which goes before any other."""
    found = _KNOWN.get(norm(name))
    return found is not None and norm(name) in _ALIASES[found].split()[:1]


def _other_name(name: str, position: int, others: Mapping[str, int]) -> str:
    plain = redact.visible(redact.secrets(name.strip().strip("\ufeff")))[:60]
    plain = plain or f"column {position + 1}"
    return f"{plain} ({position + 1})" if plain in others else plain


def _old_forms(
    names: Sequence[str], places: dict[str, int], others: dict[str, int], notes: list[str]
) -> None:
    """Read the columns of 2025: one cost, which was billed, and one sum of cached tokens."""
    for position, name in enumerate(names):
        if norm(name) in _TOTAL_COST and "cost_usd" not in places:
            places["cost_usd"] = position
            others.pop(next(n for n, at in others.items() if at == position))
            notes.append("its one cost, Total Cost, is taken as billed")
        if norm(name) in _CACHE:
            notes.append("Cache Tokens, read and written in one sum, is kept in extra")
