"""Sets the addresses of params.yaml that are others inside containers: `python infra/images/addresses.py
params.yaml`, once, when the image is built.
"""

import sys
from pathlib import Path

ADDRESSES = {
    # The gateway is behind a published port or a Service; vLLM binds the address of its own name, and no other network
    # sees it.
    "gateway": {"host": "0.0.0.0"},
    "deploy": {"host": "vllm"},
}


def readdress(path: Path) -> None:
    """Write `path` again with the addresses of containers, comments and all else kept."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.width = 1000
    params = yaml.load(path.read_text(encoding="utf-8"))
    for section, values in ADDRESSES.items():
        params[section].update(values)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(params, file)


if __name__ == "__main__":
    readdress(Path(sys.argv[1]))
