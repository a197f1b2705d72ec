"""How totals spread around the level of a key, measured beforehand over many keys.

Measured on 161 keys of a public fortnight of requests to large models, each key weighing the same.
The ratios are plain numbers: no currency, no price and no name is in them. They answer while an
account has too little past of its own. Nothing longer than a week was measured: for a month the
ratios of a week stand, until the account's own past says otherwise.
"""

import numpy as np

from runbook_lib.analysis.caps.level import Floats

PROBABILITIES = np.array(
    [
        0,
        0.05,
        0.1,
        0.15,
        0.2,
        0.25,
        0.3,
        0.35,
        0.4,
        0.45,
        0.5,
        0.55,
        0.6,
        0.65,
        0.7,
        0.75,
        0.8,
        0.85,
        0.865,
        0.88,
        0.89,
        0.9,
        0.91,
        0.92,
        0.93,
        0.94,
        0.95,
        0.96,
        0.97,
        0.98,
        0.99,
        1,
    ]
)
"""Edges of the parts that the ratios below stand for, one ratio a part."""

_MEASURED: dict[tuple[str, int], list[float]] = {
    ("total", 1): [
        0,
        0,
        0,
        0,
        0.00105,
        0.0289,
        0.106,
        0.164,
        0.275,
        0.386,
        0.498,
        0.619,
        0.74,
        0.842,
        0.945,
        1.06,
        1.18,
        1.23,
        1.25,
        1.28,
        1.3,
        1.33,
        1.38,
        1.42,
        1.48,
        1.63,
        1.79,
        2.45,
        3.95,
        6.6,
        17.4,
    ],
    ("total", 3): [
        0,
        0,
        7.66e-05,
        0.0696,
        0.21,
        0.314,
        0.424,
        0.533,
        0.663,
        0.763,
        0.844,
        0.949,
        1.05,
        1.2,
        1.42,
        1.66,
        1.92,
        2.16,
        2.27,
        2.4,
        2.51,
        2.66,
        2.75,
        2.93,
        3.36,
        4.2,
        5.32,
        7.03,
        9.84,
        21.1,
        37.7,
    ],
    ("total", 7): [
        0,
        0.0852,
        0.288,
        0.353,
        0.423,
        0.544,
        0.719,
        0.784,
        0.902,
        0.968,
        1.15,
        1.21,
        1.28,
        1.43,
        1.51,
        1.81,
        2.2,
        2.35,
        2.48,
        2.72,
        2.88,
        2.98,
        3.17,
        3.3,
        4.95,
        5.55,
        6.96,
        10.1,
        16.9,
        45.2,
        73.4,
    ],
    ("peak", 1): [
        0,
        0,
        0,
        0,
        0.000788,
        0.0203,
        0.0532,
        0.0945,
        0.144,
        0.193,
        0.242,
        0.274,
        0.299,
        0.33,
        0.383,
        0.448,
        0.503,
        0.567,
        0.608,
        0.631,
        0.682,
        0.733,
        0.801,
        0.854,
        0.994,
        1.19,
        1.36,
        1.7,
        2.45,
        4.61,
        17.1,
    ],
}
"""What is forecast and the days of it: ratios, ascending."""


def prior_ratios(horizon: float, kind: str = "total") -> Floats:
    """Give the ratios of total over (level x days) that were measured beforehand.

    Args:
        horizon: Days; between what was measured, ratios are blended, beyond it the last stand.
        kind: "total" of the days, or "peak": the highest five hours of a day.

    Returns:
        One ratio for each part of `PROBABILITIES`.
    """
    days = sorted(length for name, length in _MEASURED if name == kind)
    near = [max(length for length in days if length <= max(horizon, days[0]))]
    near += [length for length in days if length > near[0]][:1]
    ratios = [np.array(_MEASURED[kind, length]) for length in near]
    if len(near) == 1 or horizon <= near[0]:
        return ratios[0]
    share = np.log(horizon / near[0]) / np.log(near[1] / near[0])
    return np.asarray((1 - share) * ratios[0] + share * ratios[1])
