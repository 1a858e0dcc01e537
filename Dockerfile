# textseq on the CPU.
#   docker build -t textseq .
#   docker run --rm -p 8000:8000 -e TEXTSEQ_API_KEY=secret -v textseq:/data textseq
#   docker run --rm textseq sample --author shakespeare

FROM python:3.12-slim AS build
RUN pip install --no-cache-dir "uv==0.9.*"
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY textseq textseq
COPY cli cli
COPY corpora corpora
RUN uv venv /opt/textseq && uv pip install --no-cache --python /opt/textseq --torch-backend=cpu ".[serve]"

FROM python:3.12-slim
COPY --from=build /opt/textseq /opt/textseq
ENV PATH=/opt/textseq/bin:$PATH TEXTSEQ_HOME=/data
RUN useradd --create-home --uid 1000 textseq && install --directory --owner textseq /data
USER 1000
WORKDIR /data
VOLUME /data
EXPOSE 8000
ENTRYPOINT ["textseq"]
CMD ["serve", "--host", "0.0.0.0"]
