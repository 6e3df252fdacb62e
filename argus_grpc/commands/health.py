"""argus-server health: asks a running server whether it can be used, for those who only see an exit code."""

from pathlib import Path

import click

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Ask a running server whether it can be used.")
@click.option(
    "--server", default="127.0.0.1:50051", show_default=True, metavar="HOST:PORT", help="Which server."
)
@click.option("--service", default="", help="Of one service: argus_grpc.v1.IngestService. [default: of all]")
@click.option(
    "--tls-ca", type=_FILE, help="Ask over TLS; the authorities (PEM) that its certificate is from."
)
@click.option("--tls-cert", type=_FILE, help="A client certificate (PEM), where the server wants one.")
@click.option("--tls-key", type=_FILE, help="The private key of --tls-cert (PEM).")
@click.option(
    "--tls-server-name", metavar="NAME", help="The name in its certificate. [default: that of --server]"
)
@click.option(
    "--timeout-s", type=float, default=5.0, show_default=True, help="How long to wait for an answer."
)
def health(
    server: str,
    service: str,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_server_name: str | None,
    timeout_s: float,
) -> None:
    """Ask a server by grpc.health.v1 whether it can be used: exit code 0 if so, else 1.

    It needs no token. Variables of the environment are not looked at.
    """
    needing_ca = {"--tls-cert": tls_cert, "--tls-key": tls_key, "--tls-server-name": tls_server_name}
    if alone := [flag for flag, value in needing_ca.items() if value and not tls_ca]:
        raise click.UsageError(f"{alone[0]} needs --tls-ca, without which nothing is asked over TLS")
    # Here, because it takes a while to load.
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    if tls_ca:
        credentials = grpc.ssl_channel_credentials(
            tls_ca.read_bytes(),
            tls_key.read_bytes() if tls_key else None,
            tls_cert.read_bytes() if tls_cert else None,
        )
        name = [("grpc.ssl_target_name_override", tls_server_name)] if tls_server_name else []
        channel = grpc.secure_channel(server, credentials, name)
    else:
        channel = grpc.insecure_channel(server)
    with channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout_s)
        except grpc.RpcError as error:
            raise click.ClickException(f"{server}: {error.code().name}: {error.details()}") from None
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    click.echo(status)
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise SystemExit(1)
