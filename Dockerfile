# One image for server and clients: fedlab with its strategies and clients. Build it in the root of the repository.
#
#   docker build -t fedlab .
#   docker build -t fedlab --build-arg PIP_NO_INDEX=1 .    with all packages as wheels in docker/wheels, and no network
#   docker build -t fedlab --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .    with CUDA
#   docker build -t fedlab --build-arg PYTHON=python:3.11-slim .    on another base image

ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
ARG PIP_NO_INDEX=
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PATH=/opt/fedlab/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INDEX=${PIP_NO_INDEX} \
    PIP_FIND_LINKS=/wheels \
    PIP_EXTRA_INDEX_URL=${TORCH_INDEX}
RUN python -m venv /opt/fedlab
WORKDIR /src
COPY docker/wheels /wheels
COPY constraints.txt pyproject.toml docker/requirements.py ./
# Two layers, because dependencies change rarely and the project's code often.
RUN python requirements.py pyproject.toml > requirements.txt \
    && pip install -c constraints.txt -r requirements.txt setuptools
COPY README.md LICENSE ./
COPY fedlab fedlab
COPY strategies strategies
COPY clients clients
RUN pip install --no-deps --no-build-isolation . \
    && pip uninstall -qy setuptools pip

FROM ${PYTHON}
ENV PATH=/opt/fedlab/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/home/fedlab \
    FLWR_HOME=/home/fedlab/flwr \
    FEDLAB_CACHE=/home/fedlab/cache \
    FLWR_TELEMETRY_ENABLED=0 \
    FLWR_DISABLE_UPDATE_CHECK=1 \
    FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION=1
# Volumes inherit the permissions of these folders: any user of a container can write there, and nowhere else.
RUN useradd --uid 10001 --home-dir /home/fedlab --no-create-home fedlab \
    && install -d -m 1777 /home/fedlab /home/fedlab/flwr /home/fedlab/cache /state /runs /data /database
COPY --from=build /opt/fedlab /opt/fedlab
COPY pyproject.toml README.md LICENSE /app/
COPY fedlab /app/fedlab
COPY strategies /app/strategies
COPY clients /app/clients
COPY experiments /app/experiments
COPY docker/flwr.toml /home/fedlab/flwr/config.toml
COPY docker/client docker/register /usr/local/bin/
USER 10001:10001
WORKDIR /home/fedlab
CMD ["fedlab", "--help"]
