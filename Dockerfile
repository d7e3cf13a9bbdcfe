# An image that trains and evaluates. The default computes on the CPU:
#   docker build -t crnn .
# With an image that holds CANN and Python 3.11 or 3.12 it computes on Ascend:
#   docker build -t crnn --build-arg FROM_IMAGE_NAME=IMAGE .
ARG FROM_IMAGE_NAME=python:3.11-slim
FROM ${FROM_IMAGE_NAME}

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# g++ compiles the fast CPU operators. Not pinned: the base image chooses the distribution (Debian, Ubuntu, openEuler).
# hadolint ignore=DL3008,DL3040,DL3041
RUN if command -v g++ >/dev/null; then \
        echo "g++ is there"; \
    elif command -v apt-get >/dev/null; then \
        apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*; \
    else \
        dnf install -y gcc-c++ && dnf clean all; \
    fi

# Some base images have the distribution's Python, which refuses packages otherwise.
ENV PIP_BREAK_SYSTEM_PACKAGES=1
WORKDIR /crnn
COPY requirements.txt .
# A mindspore that the base image brings along stays.
RUN python3 -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
    || { echo "The base image needs Python 3.11 or 3.12, it has $(python3 -V)"; exit 1; } \
    && if python3 -m pip show --quiet mindspore; then sed -i '/^mindspore==/d' requirements.txt; fi \
    && python3 -m pip install --no-cache-dir -r requirements.txt
COPY . .

# The scripts take the interpreter of the image and make no .venv.
ENV CRNN_PYTHON=python3
CMD ["/bin/bash"]
