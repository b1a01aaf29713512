"""The name of the exported function: valid in C and C++, and no library's."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from layerline.errors import UserError
from layerline.numbers import display

LONGEST: Final = 48
"""Maximum characters of a name: names that start with it stay within the 63 that C99 guarantees to tell apart."""
_VALID: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_INTERNAL: Final = re.compile(r"k\d+_\w+|[fiu]\d+x\d+(_at|_m)?|[fi]\d+_(of|bits)|\w+_t|LAYERLINE_\w+")
"""Names in the file itself, and C's types."""
_OF_TYPES: Final = re.compile(
    r"(?i)bool|[su]?char|u?shrt|u?l?long|u?int(max|ptr|(_fast|_least)?\d+)?|ptrdiff|size|sig_atomic|wchar|wint"
)
"""Names whose …_WIDTH is a macro of C23: that of a file would be defined twice."""

_KEYWORDS: Final = """
auto break case char const continue default do double else enum extern float for goto if inline int long register
restrict return short signed sizeof static struct switch typedef union unsigned void volatile while alignas alignof and
asm bool catch class compl concept constexpr decltype delete explicit export false friend mutable namespace new
noexcept not nullptr operator or private protected public requires template this throw true try typeid typename using
virtual xor linux unix arm main setup loop image probabilities from to both value
"""
"""C's and C++'s keywords, macros that some compilers define, the functions of a sketch, and names in the file."""

_LIBRARY: Final = """
abort abs accept access acos acosh alarm asctime asin asinh atan atan2 atanh atexit atof atoi atol atoll bind brk
bsearch bzero cabs cacos calloc carg casin catan cbrt ccos ceil cexp chdir chmod chown cimag clearerr clock clog close
conj connect copysign cos cosh cpow cproj creal creat csin csqrt ctan ctime difftime div dup environ erf erfc errno
execl execv exit exp exp2 expm1 fabs fclose fdim fdopen feof ferror fflush fgetc fgetpos fgets fileno floor fma fmax
fmin fmod fopen fork fprintf fputc fputs fread free freopen frexp fscanf fseek fsetpos fstat ftell fwrite gamma getc
getchar getenv getpid gets gettimeofday getuid gmtime htonl hypot ilogb index initstate ioctl isalnum isalpha isatty
isblank iscntrl isdigit isgraph islower isprint ispunct isspace isupper isxdigit j0 j1 jn kill labs ldexp ldiv lgamma
link listen llabs lldiv llrint llround localeconv localtime log log10 log1p log2 logb longjmp lrint lround lseek malloc
mblen mbtowc memccpy memchr memcmp memcpy memmove memset mkdir mktime mmap modf nan nearbyint nice ntohl open pause
perror pipe poll pow printf putc putchar putenv puts qsort raise rand random read readlink realloc recv remainder
remove remquo rename rewind rindex rint rmdir round sbrk scalb scalbln scalbn scanf select send setbuf setenv setjmp
setlocale setvbuf shutdown sigaction signal signbit sin sinh sleep snprintf socket sprintf sqrt srand srandom sscanf
stat stdin stdout stderr strcat strchr strcmp strcoll strcpy strcspn strdup strerror strftime strlen strncat strncmp
strncpy strpbrk strrchr strspn strstr strtod strtof strtok strtol strtoul strxfrm swab symlink sync sysconf system tan
tanh tempnam tgamma time times tmpfile tmpnam tolower toupper trunc truncate tzset umask uname ungetc unlink usleep
utime vfork vfprintf vprintf vsprintf wait waitpid wcscat wcscmp wcscpy wcslen wctomb write y0 y1 yn
"""
"""Functions and variables of the C and POSIX libraries: a function of such a name would replace the library's."""

TAKEN: Final = frozenset(_KEYWORDS.split()) | frozenset(
    name + suffix for name in _LIBRARY.split() for suffix in ("", "f", "l")
)


def function_name(requested: str | None, network: str) -> str:
    """Return the requested name, or one made from the network's. Raises UserError for a name that C cannot have."""
    if requested is None:
        return _made_from(network)
    where = f"--name {display.name(requested)}"
    if not _VALID.fullmatch(requested):
        raise UserError(f"{where}: must be ASCII letters, digits and _, and start with a letter", _try(requested))
    if len(requested) > LONGEST:
        raise UserError(f"{where}: has {len(requested)} characters, expected at most {LONGEST}", _try(requested))
    if _taken(requested):
        raise UserError(f"{where}: C, C++ or their libraries use that name", _try(requested))
    return requested


def _try(requested: str) -> str:
    return f"for example --name {_made_from(requested)}"


def _made_from(text: str) -> str:
    """Return a valid name that resembles a text."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-zA-Z0-9]+", "_", plain).strip("_")[:LONGEST].rstrip("_")
    name = name if name[:1].isalpha() else f"model_{name}".rstrip("_")[:LONGEST]
    others = (f"model_{name}"[:LONGEST].rstrip("_"), f"{name[: LONGEST - 6]}_model")
    return next(each for each in (name, *others) if not _taken(each))


def _taken(name: str) -> bool:
    reserved = any(pattern.fullmatch(name) for pattern in (_INTERNAL, _OF_TYPES))
    return reserved or name in TAKEN or name.upper() in ("NULL", "NAN", "EOF")
