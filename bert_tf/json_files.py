"""JSON files of settings: one object each."""

import json
from typing import Any

from bert_tf import files
from bert_tf.errors import UserError


def read_object(path: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        UserError: there is none. The message names the file.
    """
    try:
        values = json.loads(files.read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}: not JSON: {error.msg}"
        ) from None
    except UserError:  # A ValueError, too.
        raise
    except ValueError as error:  # Such as a number of too many digits.
        raise UserError(f"{path}: {files.reason(error)}") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: a JSON object of settings is needed")
    return values
