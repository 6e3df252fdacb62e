"""Numbers, as they are told to people."""


def tell_rows(count: int, row_name: str = "event") -> str:
    """A number of events, or of groups, for people."""
    return f"{count:,} {row_name}{'' if count == 1 else 's'}"


def tell_bytes(count: int) -> str:
    """A size for people, in powers of 1,000."""
    if count < 1_000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1_000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1_000:,.1f} TB"
