"""A page in the browser that reads words: `python demo.py`, then open the address that it prints."""
import argparse

from src.common.errors import ConfigError, run_main


def main(argv: list[str] | None = None) -> int:
    """Serves the page until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serves a page that reads word images and photographs, on this "
                                     "machine alone unless --host says otherwise. Nothing is sent to other hosts.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port (default: the first free one from 7860 on)")
    parser.add_argument("--max_megabytes", type=int, default=10, help="largest file to take (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        from src.demo.page import serve  # gradio is an optional package
    except ImportError as error:
        if error.name != "gradio":
            raise
        raise ConfigError("the page needs gradio; make an environment for it: `python3.11 -m venv .venv-demo && "
                          ".venv-demo/bin/pip install -r requirements-demo.txt`, then .venv-demo/bin/python demo.py"
                          ) from error
    serve(args.host, args.port, args.max_megabytes)
    return 0


if __name__ == "__main__":
    run_main(main)
