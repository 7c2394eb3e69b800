"""The commands of the edge and their options: serve, refine, purge, sign and origin.

Each command imports its code when it runs: see `service.cli`.
"""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import HEADS_HELP, Port


def serve(
    *,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Port = 8080,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Server processes.")] = 1,
) -> None:
    """Run the edge. All other settings come from the environment, as listed below. EDGE_ORIGIN is required."""
    from service.commands import start_servers

    start_servers.serve(host=host, port=port, workers=workers)


def refine(
    *,
    store: Annotated[
        str, typer.Option("--store", metavar="URL", envvar="EDGE_REDIS_URL", help="The store of the edges.")
    ],
    origin: Annotated[
        str,
        typer.Option(
            "--origin", metavar="URL", envvar="EDGE_ORIGIN", help="The origin of the edges; empty with EDGE_ORIGINS."
        ),
    ] = "",
    steps: Annotated[
        int,
        typer.Option(
            "--steps", metavar="N", min=1, help="Steps of each search. Recommended: 40 on a CPU, 400 on a GPU."
        ),
    ],
    refine_for: Annotated[
        str, typer.Option("--refine-for", metavar="HEADS", envvar="EDGE_REFINE_FOR", help=HEADS_HELP)
    ] = "auto",
    per_minute: Annotated[
        float, typer.Option("--per-minute", metavar="N", min=0, help="Most pictures per minute; 0 for no limit.")
    ] = 60.0,
    origin_requests: Annotated[
        int, typer.Option("--origin-requests", metavar="N", min=1, help="Most requests to the origin at a time.")
    ] = 2,
) -> None:
    """Replace the latents in a store by better ones, hottest first. An interrupted run can be started again.

    All other settings come from the environment, as for the edges.
    """
    from service.commands import better_latents

    better_latents.refine(
        better_latents.RefineOrder(
            store=store,
            origin=origin,
            steps=steps,
            refine_for=refine_for,
            per_minute=per_minute,
            origin_requests=origin_requests,
        )
    )


def purge(
    *,
    image_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Purge the picture with this id.")] = None,
    query: Annotated[
        str, typer.Option("--query", metavar="QUERY", help="With --id: the arguments that the origin needs, as v=2.")
    ] = "",
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="Purge all pictures with this cache tag.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Purge all pictures.")] = False,
    soft: Annotated[bool, typer.Option("--soft", help="Only mark the pictures as stale.")] = False,
    edge: Annotated[
        str, typer.Option("--edge", metavar="URL", help="The URL of any edge that uses the store.")
    ] = "http://127.0.0.1:8080",
    token: Annotated[
        str, typer.Option("--token", envvar="EDGE_ADMIN_TOKEN", help="The edge's EDGE_ADMIN_TOKEN.", show_default=False)
    ] = "",
) -> None:
    """Purge pictures from all edges that share a store, and print the edge's answer."""
    from service.commands import purge_order

    order = purge_order.Order(image_id=image_id, tag=tag, everything=everything, soft=soft, query=query)
    typer.echo(purge_order.purge(order, edge=edge, token=token))


def sign(
    image_id: Annotated[str, typer.Argument(metavar="ID", help="The image id.", show_default=False)],
    *,
    res: Annotated[str, typer.Option("--res", metavar="RES", help="The argument res; left out by default.")] = "",
    fmt: Annotated[str, typer.Option("--fmt", metavar="FMT", help="The argument fmt; left out by default.")] = "",
    query: Annotated[
        str, typer.Option("--query", metavar="QUERY", help="The arguments that the origin needs, such as v=2.")
    ] = "",
    expires_in_s: Annotated[
        int,
        typer.Option(
            "--expires-in", metavar="S", min=0, max=10**11, help="Seconds until the URL expires; 0 for never."
        ),
    ] = 0,
    edge: Annotated[str, typer.Option("--edge", metavar="URL", help="The URL to put in front of the path.")] = "",
    key: Annotated[
        str, typer.Option("--key", envvar="EDGE_KEY", help="The edge's EDGE_KEY; the first of several signs.")
    ] = "",
    salt: Annotated[str, typer.Option("--salt", envvar="EDGE_SALT", help="The edge's EDGE_SALT.")] = "",
) -> None:
    """Print the signed URL of a picture, for edges that demand signatures (EDGE_KEY)."""
    from service.commands import signed_url

    order = signed_url.SignOrder(
        image_id=image_id, res=res, fmt=fmt, query=query, expires_in_s=expires_in_s, edge=edge, key=key, salt=salt
    )
    typer.echo(signed_url.sign(order))


def origin(
    *,
    directory: Annotated[Path, typer.Option("--dir", metavar="DIR", help="The folder of pictures.")],
    port: Port,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Run a small static origin over a folder of pictures."""
    from service.commands import start_servers

    start_servers.origin(directory, host=host, port=port)
