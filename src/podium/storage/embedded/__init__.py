"""PostgreSQL and Valkey from their wheels, under the data directory, for one machine.

``EmbeddedServers`` starts, watches and stops both. They listen on Unix sockets only and ask for
a password; nothing listens on TCP.
"""

from podium.storage.embedded.servers import EmbeddedServers, EmbeddedUrls, ServerState

__all__ = ["EmbeddedServers", "EmbeddedUrls", "ServerState"]
