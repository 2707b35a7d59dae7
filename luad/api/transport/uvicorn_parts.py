"""The parts of uvicorn that luad uses, most of which are not its public interface.

Rule: no other module imports uvicorn. pyproject.toml allows the versions that luad was tested with (0.34 to
0.54), and `tests/contracts/test_library_internals.py` fails when one of these parts changes:

- `H11Protocol`: `transport.connection` extends it. It overrides `connection_made`, `connection_lost`, `data_received`,
  `eof_received`, `pause_writing`, `resume_writing`, `on_response_complete`, `send_400_response` and `shutdown`, calls
  `_unset_keepalive_if_required`, and reads `app_state`, `client`, `conn`, `connections`, `cycle`, `flow`, `loop` and `scope`.
- `RequestResponseCycle`: `disconnected`, `keep_alive`, `response_complete` and `response_started` of a cycle.
- `FlowControl`: `pause_reading`, `resume_reading` and `read_paused`.
- `Config` and `ServerState`: made as `uvicorn.Server.startup` makes them, because luad runs on its own loop.
"""

from __future__ import annotations

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

__all__ = ["Config", "FlowControl", "H11Protocol", "RequestResponseCycle", "ServerState"]
