"""``python -m camlime``."""

from __future__ import annotations

from camlime.current_folder import forget_current_folder

forget_current_folder()

from camlime.cli import main  # noqa: E402 - with a safe path

if __name__ == "__main__":
    main()
