# The server of exported models:
#
#     docker build -t bert-tf:0.1.0 .
#     docker run -p 8501:8501 -v "$PWD/models:/models:ro" bert-tf:0.1.0 --model=sms=/models/sms
#
# docs/deploy/README.md says more. Python 3.11 to 3.13 work.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/bert
ENV PATH=/opt/bert/bin:$PATH
WORKDIR /source

# First the requirements, by an empty package: this layer, by far the largest
# one, is made again only when pyproject.toml changes.
COPY pyproject.toml README.md LICENSE ./
RUN mkdir bert_tf \
    && touch bert_tf/__init__.py run_classifier.py run_squad.py run_pretraining.py \
    && pip install '.[serving,grpc,lite]'
# Then the package itself.
COPY . .
RUN pip install --no-deps --force-reinstall .

# The image has neither the sources nor what pip left.
FROM python:${PYTHON}-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin bert \
    && mkdir /models
COPY --from=build /opt/bert /opt/bert
# A read-only container has nothing to write to but /tmp.
ENV PATH=/opt/bert/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /models
EXPOSE 8501 8500

# A server that loads a model lives, too. Orchestrators ask /readyz as well.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8501/livez', timeout=4)"]

# Exec form: the server is process 1, and SIGTERM reaches it. It then answers
# what it has accepted. Flags that follow win over these.
ENTRYPOINT ["bert-serve", "--host=0.0.0.0", "--port=8501"]
CMD ["--model=model=/models"]
