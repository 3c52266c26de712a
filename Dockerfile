# syntax=docker/dockerfile:1
# bpnet with training on NVIDIA GPUs:
#   docker build -t bpnet .
#   docker run --rm --gpus all -v "$PWD:/workspace" bpnet train -e specs/bpnet_train_m1_coco.yaml -r results

FROM nvidia/cuda:12.9.1-base-ubuntu24.04 AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        g++ python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/bpnet && /opt/bpnet/bin/pip install --no-cache-dir --upgrade pip
WORKDIR /source
# The dependencies first: they change less often than the code.
COPY pyproject.toml README.md LICENSE ./
COPY bpnet/__init__.py bpnet/__init__.py
COPY bpnet/decode bpnet/decode
RUN /opt/bpnet/bin/pip install --no-cache-dir ".[train-gpu]"
COPY bpnet bpnet
RUN /opt/bpnet/bin/pip install --no-cache-dir --no-deps --force-reinstall .

FROM nvidia/cuda:12.9.1-base-ubuntu24.04
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 bpnet
COPY --from=build /opt/bpnet /opt/bpnet
COPY specs /workspace/specs
COPY data_pose_config /workspace/data_pose_config
COPY model_pose_config /workspace/model_pose_config
ENV PATH=/opt/bpnet/bin:$PATH PYTHONUNBUFFERED=1
USER bpnet
WORKDIR /workspace
ENTRYPOINT ["bpnet"]
CMD ["--help"]
