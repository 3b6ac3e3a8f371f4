"""``python -m camlime``."""

from __future__ import annotations

from camlime.cli import main

if __name__ == "__main__":
    main()
