"""Whether a file is what its manifest says, and if not, which part of it is wrong."""

from dataclasses import dataclass
from pathlib import Path

from argus_client.files import part_path, sums_of
from argus_client.manifest import Checksums, InvalidManifest, Manifest, manifest_path, read_manifest


@dataclass(frozen=True)
class Verification:
    """What was found: the manifest, if it could be read, and all that is wrong, in sentences."""

    manifest: Manifest | None
    problems: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        return not self.problems


def verify_file(path: Path, manifest_file: Path | None = None) -> Verification:
    """Compares the file with its manifest, by default the one beside it. Memory stays flat."""
    manifest_file = manifest_file or manifest_path(path)
    if not path.is_file():
        missing = "it is not a file" if path.exists() else "it is not there"
        if part_path(path).exists():
            missing += f"; {part_path(path)} is what there is of an export that did not finish"
        return Verification(None, (missing,))
    try:
        manifest = read_manifest(manifest_file)
    except OSError as error:
        return Verification(
            None, (f"its manifest {manifest_file} cannot be read: {error.strerror or error}",)
        )
    except InvalidManifest as error:
        return Verification(None, (f"its manifest {manifest_file} {error}",))
    return Verification(manifest, compare(path, manifest))


def compare(path: Path, manifest: Manifest) -> tuple[str, ...]:
    """All that differs between a file and a manifest, in sentences."""
    expected_bytes: int = manifest["bytes"]
    try:
        with path.open("rb", buffering=0) as file:
            found = sums_of(file, into=Checksums(manifest["chunkBytes"]))
    except OSError as error:
        return (f"it cannot be read: {error.strerror or error}",)
    if (found.size_bytes, found.sha256) == (expected_bytes, manifest["sha256"]):
        return ()
    problems = []
    differing = _differing_ranges(found, manifest)
    if manifest["file"] != path.name and (not differing or differing[0][0] == 0):
        problems.append(f"the manifest is for {manifest['file']}")
    problems += [f"bytes {first:,}–{last:,} differ" for first, last in differing]
    if found.size_bytes != expected_bytes:
        by_bytes = abs(found.size_bytes - expected_bytes)
        which = "short" if found.size_bytes < expected_bytes else "long"
        problems.append(
            f"it is {by_bytes:,} byte{'' if by_bytes == 1 else 's'} too {which}: "
            f"{found.size_bytes:,}, not {expected_bytes:,}"
        )
    return tuple(problems or ["the SHA-256 differs, though no part's CRC-32C does"])


def _differing_ranges(found: Checksums, manifest: Manifest) -> list[tuple[int, int]]:
    """The first and last bytes, from 0, of the stretches of chunks that differ.

    What is missing at the end, or too much, is no difference: a chunk that is cut shows in the size.
    """
    chunk_bytes = found.chunk_bytes
    comparable_bytes = min(found.size_bytes, manifest["bytes"])
    ranges: list[tuple[int, int]] = []
    for place, (here, expected) in enumerate(zip(found.chunk_crc32c, manifest["chunkCrc32c"], strict=False)):
        first = place * chunk_bytes
        last = min(first + chunk_bytes, comparable_bytes) - 1
        is_cut = found.size_bytes != manifest["bytes"] and first + chunk_bytes > comparable_bytes
        if here == expected or is_cut:
            continue
        if ranges and ranges[-1][1] == first - 1:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((first, last))
    return ranges
