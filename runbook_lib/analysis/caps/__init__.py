"""What to type into /keys as a cap, with its odds: from the spend of every key to a table."""

from runbook_lib.analysis.caps.material import CapMaterial as CapMaterial
from runbook_lib.analysis.caps.month import MonthEnd as MonthEnd
from runbook_lib.analysis.caps.month import month_end as month_end
from runbook_lib.analysis.caps.size import CapParts as CapParts
from runbook_lib.analysis.caps.size import size_caps as size_caps
from runbook_lib.analysis.caps.used import ROLLING as ROLLING
