"""Words for people: counts with their noun."""


def counted(number: int, noun: str) -> str:
    """Count a noun: "1 key", "2 keys", "1 entry" and "2 entries"."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1] + 'ies' if noun.endswith('y') and noun != 'key' else noun + 's'}"
