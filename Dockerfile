# The grader as an image. It needs no network and no writable root:
#   docker build --target grade -t katas .
#   docker run --rm --network none --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     --pids-limit 256 --memory 4g --volume "$PWD/problems:/katas/problems:ro" katas
# The digest is that of the tag when this was written; docs/ci.md says how to renew it.
FROM python:3.11-slim-bookworm@sha256:b18992999dbe963a45a8a4da40ac2b1975be1a776d939d098c647482bcad5cba AS base
ENV OMP_NUM_THREADS=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PYTHONUNBUFFERED=1
RUN groupadd --gid 1000 learner && useradd --uid 1000 --gid learner --create-home learner
WORKDIR /katas
COPY requirements.txt ./
RUN python -m pip install --no-cache-dir uv==0.13.8 \
    && uv pip install --system --no-cache --torch-backend cpu -r requirements.txt

# What a dev container adds: git, make, the notebooks and the tests.
FROM base AS dev
COPY requirements-notebooks.txt requirements-dev.txt ./
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/* \
    && uv pip install --system --no-cache --torch-backend cpu -r requirements-dev.txt
USER learner

# Everything belongs to root and nothing is written: not even bytecode, which is compiled here.
FROM base AS grade
COPY grader.py ./
COPY grading grading/
COPY katas katas/
COPY solutions solutions/
COPY problems problems/
COPY tests tests/
RUN python -m compileall -q grading katas tests
ENV HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1
USER learner
ENTRYPOINT ["python", "grader.py"]
