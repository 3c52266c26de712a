# syntax=docker/dockerfile:1
# bpnet as a program, run by an unprivileged user. Two targets:
#   docker build -t bpnet .                       # gpu: trains on NVIDIA GPUs
#   docker build --target cpu -t bpnet:cpu .      # no CUDA
#   docker build --target cpu --build-arg EXTRA=export -t bpnet:runtime .    # no TensorFlow either
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" -e HOME=/tmp -v "$PWD:/workspace" \
#       bpnet train -e specs/bpnet_train_m1_coco.yaml -r results
# Whether it works:  docker run --rm --gpus all --entrypoint python bpnet /opt/smoke.py --need keras

FROM ubuntu:24.04 AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        g++ python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/bpnet && /opt/bpnet/bin/pip install --no-cache-dir --upgrade pip
WORKDIR /source

# The program by itself: the last and smallest layer of an image, for it changes most often.
FROM build AS program
COPY pyproject.toml README.md LICENSE ./
COPY bpnet bpnet
RUN /opt/bpnet/bin/pip install --no-cache-dir --no-deps --prefix /program .

# What it needs is installed anew where these lists change, not with each change of pyproject.toml.
FROM build AS requirements
ARG EXTRA=train
COPY pyproject.toml release/requirements.py ./
RUN /opt/bpnet/bin/python requirements.py pyproject.toml "$EXTRA" >cpu.txt \
    && /opt/bpnet/bin/python requirements.py pyproject.toml train-gpu >gpu.txt

FROM ubuntu:24.04 AS runtime
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 bpnet \
    && install -d -o bpnet -g bpnet /workspace
COPY specs /workspace/specs
COPY data_pose_config /workspace/data_pose_config
COPY model_pose_config /workspace/model_pose_config
# ONNX Runtime's telemetry is on where nothing is said.
ENV PATH=/opt/bpnet/bin:$PATH PYTHONUNBUFFERED=1 ORT_DISABLE_TELEMETRY=1
USER 10001
WORKDIR /workspace
# Without TensorFlow and the GPU, which belong to the command that runs.
HEALTHCHECK --interval=10m --timeout=1m CMD ["python", "/opt/smoke.py", "--skip", "keras", "gpu"]
ENTRYPOINT ["bpnet"]
CMD ["--help"]

# TensorFlow's headers and what tests the packages are a fifth of them, and of no use here.
FROM build AS cpu-packages
COPY --from=requirements /source/cpu.txt ./
RUN /opt/bpnet/bin/pip install --no-cache-dir -r cpu.txt \
    && find /opt/bpnet -depth -type d \( -path '*/tensorflow/include' -o -name tests \
        -o -path '*/onnx/backend/test' \) -exec rm -r {} +

FROM runtime AS cpu
COPY --from=cpu-packages /opt/bpnet /opt/bpnet
COPY release/smoke.py /opt/smoke.py
COPY --from=program /program /opt/bpnet

# CUDA's libraries come with TensorFlow; the driver is the host's, put in by NVIDIA's runtime.
FROM build AS gpu-packages
COPY --from=requirements /source/gpu.txt ./
RUN /opt/bpnet/bin/pip install --no-cache-dir -r gpu.txt \
    && find /opt/bpnet -depth -type d \( -path '*/tensorflow/include' -o -name tests \
        -o -path '*/onnx/backend/test' \) -exec rm -r {} +

FROM runtime AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
COPY --from=gpu-packages /opt/bpnet /opt/bpnet
COPY release/smoke.py /opt/smoke.py
COPY --from=program /program /opt/bpnet
