"""Recognises what a file holds by its first bytes, whatever its name.

kind_of(b"\\x1f\\x8b…")     GZIP
kind_of(b"PAR1…")         PARQUET
kind_of(b"text,label\\n")  None: text
"""

import codecs
import dataclasses
import re
import struct
import unicodedata
import zipfile
from typing import IO

HEAD_BYTES = 1 << 16  # The part of a file by which it is recognised.

_UNPACK = "unpack it first"
_AS_CSV = "save it as CSV in UTF-8"
_AS_TEXT = "save it as plain text in UTF-8"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file that is not plain text in UTF-8.

    Attributes:
        id: a short name, for code.
        name: what it is, for people: "an Excel workbook".
        advice: what helps, if there is something.
        role: "compressed" and "encoding" for what can be read as text, "table"
            for what `data.tabular.spreadsheets` reads, "page" for text that is
            not data, "other" for everything else.
    """

    id: str
    name: str
    advice: str = ""
    role: str = "other"


GZIP = Kind("gzip", "compressed by gzip", _UNPACK, "compressed")
BZ2 = Kind("bz2", "compressed by bzip2", _UNPACK, "compressed")
XZ = Kind("xz", "compressed by xz", _UNPACK, "compressed")
ZSTD = Kind("zstd", "compressed by zstd", _UNPACK, "compressed")
ZIP = Kind("zip", "a zip archive", _UNPACK, "compressed")

XLSX = Kind("xlsx", "an Excel workbook", _AS_CSV, "table")
XLS = Kind("xls", "an Excel workbook (.xls)", _AS_CSV, "table")
ODS = Kind("ods", "an OpenDocument spreadsheet", _AS_CSV, "table")
PARQUET = Kind("parquet", "a Parquet file", _AS_CSV, "table")
ARROW = Kind("arrow", "an Arrow or Feather file", _AS_CSV, "table")
ARROW_STREAM = Kind("arrow_stream", "a stream of Arrow", _AS_CSV, "table")
ORC = Kind("orc", "an ORC file", _AS_CSV, "table")

HTML = Kind(
    "html", "an HTML page", "did its download fail, or need a login?", "page"
)
XML = Kind("xml", "an XML file", _AS_TEXT, "page")
TAR = Kind("tar", "a tar archive", _UNPACK)
ZIPPED_XLSB = Kind("xlsb", "a binary Excel workbook", _AS_CSV)
WORD = Kind("docx", "a Word document", _AS_TEXT)
POINTER = Kind(
    "lfs",
    "a pointer of Git LFS",
    "fetch the file itself by git lfs pull",
)
PICKLE = Kind(
    "pickle",
    "a pickle of Python",
    "it is not opened, because it can run code; write its table as CSV or "
    "JSON lines",
)
TFRECORD = Kind(
    "tfrecord", "a TFRecord file", "it holds serialized examples, not texts"
)
BINARY = Kind("binary", "a binary file")


def _utf(name: str, mark: bool = True) -> Kind:
    called = {"utf-16": "UTF-16", "utf-32": "UTF-32"}[name[:6]]
    end = "" if mark else " without a byte order mark"
    return Kind(
        name, f"{called}{end}", f"`encoding`={name} reads it", "encoding"
    )


# (bytes at the start, kind); the first that fits.
_STARTS: list[tuple[bytes, Kind]] = [
    (b"\x1f\x8b", GZIP),
    (b"\xfd7zXZ\0", XZ),
    (b"\x5d\0\0\x80\0", XZ),  # The older .lzma.
    (b"\x5d\0\0\0\x04\xff\xff\xff\xff", XZ),
    (b"\x28\xb5\x2f\xfd", ZSTD),
    (b"\x1f\x9d", Kind("z", "compressed by compress (.Z)", _UNPACK)),
    (b"\x04\x22\x4d\x18", Kind("lz4", "compressed by lz4", _UNPACK)),
    (b"\xff\x06\0\0sNaPpY", Kind("snappy", "compressed by snappy", _UNPACK)),
    (b"\x89LZO\0", Kind("lzo", "compressed by lzop", _UNPACK)),
    (b"7z\xbc\xaf\x27\x1c", Kind("7z", "a 7z archive", _UNPACK)),
    (b"Rar!\x1a\x07", Kind("rar", "a rar archive", _UNPACK)),
    (b"\x09\x08\x10\0\0\x06\x05\0", XLS),
    (b"PAR1", PARQUET),
    (b"PARE", PARQUET),
    (b"ARROW1\0\0", ARROW),
    (b"FEA1", ARROW),
    (b"Obj\x01", Kind("avro", "an Avro file", _AS_CSV)),
    (b"SQLite format 3\0", Kind("sqlite", "an SQLite database", _AS_CSV)),
    (b"\x93NUMPY", Kind("npy", "a NumPy array (.npy)")),
    (
        b"\x80\x02\x8a\x0al\xfc\x9cF\xf9j\xa8P\x19.",
        Kind("torch", "a file of PyTorch"),
    ),
    (b"\x89HDF\r\n\x1a\n", Kind("hdf5", "an HDF5 file, such as of Keras")),
    (b"CDF\x01", Kind("netcdf", "a NetCDF file")),
    (b"GGUF", Kind("gguf", "a GGUF model")),
    (b"MATLAB 5.0 MAT-file", Kind("mat", "a MATLAB file", _AS_CSV)),
    (b"$FL2", Kind("sav", "an SPSS file", _AS_CSV)),
    (b"$FL3", Kind("sav", "an SPSS file", _AS_CSV)),
    (b"<stata_dta>", Kind("dta", "a Stata file", _AS_CSV)),
    (b"RDX2\nX\n", Kind("rdata", "a file of R", _AS_CSV)),
    (b"RDX3\nX\n", Kind("rdata", "a file of R", _AS_CSV)),
    (b"X\n\0\0\0", Kind("rds", "a file of R (.rds)", _AS_CSV)),
    (b"%PDF-", Kind("pdf", "a PDF document", _AS_TEXT)),
    (b"%!PS", Kind("ps", "a PostScript document", _AS_TEXT)),
    (b"{\\rtf", Kind("rtf", "a document in RTF", _AS_TEXT)),
    (b"AT&TFORM", Kind("djvu", "a DjVu document", _AS_TEXT)),
    (b"version https://git-lfs.github.com/spec/", POINTER),
    (b"version https://hawser.github.com/spec/", POINTER),
    (b"\x89PNG\r\n\x1a\n", Kind("png", "a picture (PNG)")),
    (b"\xff\xd8\xff", Kind("jpeg", "a picture (JPEG)")),
    (b"GIF87a", Kind("gif", "a picture (GIF)")),
    (b"GIF89a", Kind("gif", "a picture (GIF)")),
    (b"II*\0", Kind("tiff", "a picture (TIFF)")),
    (b"MM\0*", Kind("tiff", "a picture (TIFF)")),
    (b"\x7fELF", Kind("elf", "a program")),
    (b"\0asm", Kind("wasm", "a program")),
    (b"\0\x05\x16\x07", Kind("appledouble", "macOS' notes on another file")),
    (b"\0\0\0\x01Bud1", Kind("dsstore", "macOS' notes on a folder")),
    (b"!<arch>\n", Kind("ar", "an archive of ar", _UNPACK)),
    (b"\xed\xab\xee\xdb", Kind("rpm", "a package")),
    (b"ID3\x03\0", Kind("mp3", "a sound (MP3)")),
    (b"ID3\x04\0", Kind("mp3", "a sound (MP3)")),
    (b"OggS\0", Kind("ogg", "a sound or film (Ogg)")),
    (b"fLaC\0", Kind("flac", "a sound (FLAC)")),
]
# Kinds whose start could also be that of a text: it must look binary, too.
_COULD_BE_TEXT = ("parquet", "gguf", "sav", "avro", "netcdf", "gif")

_MARKS = [  # UTF-32 first: the little-endian mark starts as UTF-16's does.
    (codecs.BOM_UTF32_LE, _utf("utf-32")),
    (codecs.BOM_UTF32_BE, _utf("utf-32")),
    (codecs.BOM_UTF16_LE, _utf("utf-16")),
    (codecs.BOM_UTF16_BE, _utf("utf-16")),
]

# White space, a page's end, and the signs that switch the sets of ISO 2022.
_TEXT_CONTROLS = b"\t\n\x0b\x0c\r\x1a\x1b\x1c\x1d\x1e\x1f\x0e\x0f\x01\x02"
_CONTROLS = bytes({*range(32), 127}.difference(_TEXT_CONTROLS))
_MOST_CONTROLS = 0.05  # The share of them in what still counts as text.

_HTML = re.compile(rb"<!doctype\s+html|<html[\s>]|<head>", re.IGNORECASE)
# Comments and instructions before a page's first element.
_NOTES = re.compile(rb"^(\s*<(\?.*?\?|!--.*?--)>)*\s*", re.DOTALL)
_PICKLE_OF_TEXT = re.compile(
    rb"\(?[dl]p[01]\n|ccopy_reg\n|c__builtin__\n|cnumpy|cpandas"
)


# What the directory of an old Office file has, {name in UTF-16: kind}.
_OLE_ENTRIES = {
    "EncryptedPackage": Kind(
        "encrypted", "an Office file with a password", "save it without one"
    ),
    "WordDocument": Kind("doc", "a Word document", _AS_TEXT),
    "PowerPoint Document": Kind("ppt", "a PowerPoint presentation", _AS_TEXT),
}


def kind_of(head: bytes) -> Kind | None:
    """The kind of a file; None for text in UTF-8 or another encoding.

    A zip archive is `ZIP` here, whatever is in it; see `kind_of_zip`.

    Args:
        head: its first bytes, `HEAD_BYTES` or all of a smaller file.
    """
    for mark, kind in _MARKS:
        if head.startswith(mark) and _is_decoded(head, kind.id):
            return kind
    if re.match(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)", head):
        return BZ2
    if re.match(rb"PK(\x03\x04|\x05\x06|\x07\x08|00PK)", head):
        return ZIP
    if re.match(rb"[\x50-\x5f]\x2a\x4d\x18", head):
        return ZSTD  # It starts with a frame to skip.
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        found = (
            kind
            for name, kind in _OLE_ENTRIES.items()
            if name.encode("utf-16-le") in head
        )
        return next(found, XLS)
    for start, kind in _STARTS:
        if head.startswith(start) and (
            kind.id not in _COULD_BE_TEXT or _is_binary(head[:64])
        ):
            return kind
    if head[257:262] == b"ustar":
        return TAR
    if _is_arrow_stream(head):
        return ARROW_STREAM
    if head.startswith(b"ORC") and _is_binary(head[3:64]):
        return ORC
    if re.match(rb"\x80[\x02-\x05]", head) or _PICKLE_OF_TEXT.match(head):
        return PICKLE
    return _kind_of_text(head) or _kind_by_structure(head)


def _kind_of_text(head: bytes) -> Kind | None:
    """Returns the kind of pages and other files that are written as text."""
    start = head[:1000].removeprefix(codecs.BOM_UTF8).lstrip()
    if start.startswith((b"<?xml", b"<!--")):
        if _HTML.match(_NOTES.sub(b"", start)):
            return HTML
        return XML if start.startswith(b"<?xml") else None
    return HTML if _HTML.match(start) else None


def _kind_by_structure(head: bytes) -> Kind | None:
    """Returns the kind of bytes that no start identifies."""
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE", b"AVI "):
        return Kind("riff", "a picture, sound or film")
    if head[4:8] == b"ftyp":
        return Kind("mp4", "a film or picture")
    if b"\0" not in head:
        return BINARY if _is_binary(head) else None
    for name in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        width = 2 if "16" in name else 4
        is_cut = len(head) < HEAD_BYTES and len(head) % width
        if not is_cut and _is_decoded(head, name):
            return _utf(name, mark=False)
    if not _is_binary(head):
        return None  # Readers name the line of a NUL.
    if _is_tfrecord(head):
        return TFRECORD
    if head[8:9] == b"{" and head[5:8] == b"\0\0\0":
        return Kind("safetensors", "a file of safetensors")
    return BINARY


def _is_binary(head: bytes) -> bool:
    """Whether bytes are those of no text, in whatever encoding."""
    num_controls = len(head) - len(head.translate(None, _CONTROLS))
    if num_controls <= max(2, _MOST_CONTROLS * len(head)):
        return False
    return b"\0" in head or decoded_start(head, "utf-8") is None


def _is_decoded(head: bytes, encoding: str) -> bool:
    """Whether bytes are a text in UTF-16 or UTF-32."""
    text = decoded_start(head, encoding)
    if text is None:
        return False
    text = text[:4000].removeprefix("\ufeff")
    # In the wrong byte order a blank or line end is another letter.
    odd = sum(unicodedata.category(c) in ("Cc", "Cn", "Co") for c in text)
    odd -= sum(text.count(c) for c in "\t\r\n\f")
    if encoding in ("utf-16", "utf-32"):  # Their mark says it.
        return odd <= _MOST_CONTROLS * len(text)
    num_zeros = head.count(0)
    if odd or num_zeros <= 2:  # One or two may be a fault of any file.
        return False
    if num_zeros > len(head) // 5:  # Letters of Latin.
        return True
    # In others only blanks and line ends have one.
    is_utf8 = decoded_start(head, "utf-8") is not None
    return "\n" in text and not is_utf8


def decoded_start(head: bytes, encoding: str) -> str | None:
    """The text of a file's first bytes; None if they are not in the encoding.

    A character that is cut at the end is left out.
    """
    try:
        return codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeError:
        return None


def _is_arrow_stream(head: bytes) -> bool:
    """Whether it starts with the mark and length of a schema's message."""
    if len(head) < 16 or head[:4] != b"\xff\xff\xff\xff":
        return False
    (size,) = struct.unpack("<i", head[4:8])
    return 0 < size < 1 << 24 and size % 8 == 0


def _is_tfrecord(head: bytes) -> bool:
    """Whether the first record's length has its checksum."""
    if len(head) < 16:
        return False
    import google_crc32c

    crc = google_crc32c.value(head[:8])
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.unpack("<I", head[8:12]) == (masked,)


def kind_of_zip(reader: IO[bytes]) -> Kind:
    """Returns the kind of a zip archive, by the names in it.

    Raises:
        zipfile.BadZipFile: it is damaged.
    """
    with zipfile.ZipFile(reader) as archive:
        names = {*archive.namelist()}
        media = b""
        if "mimetype" in names:
            media = archive.read("mimetype")
    if "xl/workbook.xml" in names:
        return XLSX
    if "xl/workbook.bin" in names:
        return ZIPPED_XLSB
    if "word/document.xml" in names:
        return WORD
    if any(name.startswith("ppt/") for name in names):
        return Kind("pptx", "a PowerPoint presentation", _AS_TEXT)
    if media.startswith(b"application/vnd.oasis.opendocument.spreadsheet"):
        return ODS
    if media.startswith(b"application/vnd.oasis.opendocument"):
        return Kind("odf", "an OpenDocument file", _AS_TEXT)
    if media.startswith(b"application/epub"):
        return Kind("epub", "an e-book (EPUB)", _AS_TEXT)
    if "Index/Document.iwa" in names:
        return Kind("iwork", "a document of Apple's iWork", _AS_CSV)
    if any(re.search(r"(^|/)data\.pkl$", name) for name in names):
        return Kind("torch", "a file of PyTorch")
    if "model.weights.h5" in names:
        return Kind("keras", "a model of Keras")
    if names and all(name.endswith(".npy") for name in names):
        return Kind("npz", "NumPy arrays (.npz)")
    return ZIP
