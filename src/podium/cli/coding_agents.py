"""The coding agents that ``podium agent detect`` knows, and how each is run without a terminal.

Facts as of November 2026. ``source`` says where each comes from. The streams of Claude Code, Codex,
OpenCode, Qwen Code and Copilot were recorded from the programs themselves, against a stand-in of
their model's API; the others are as their documentation or source tells.

Flags let an agent change files in its working directory and, where the agent can tell the two
apart, run no commands that its own settings do not allow. What each may do then is its own affair:
Podium confines all alike. This is data only, and imports nothing: the table is loaded by the CLI.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Rule = Mapping[str, object]
"""A rule of ``config.lines`` of command agents; see docs/guides/command-agents.md."""


class CodingAgent(NamedTuple):
    """A program, and how Podium runs it.

    ``name`` is what it is registered as. ``arguments`` follow the program; ``version`` are those
    that have it print its version, which ``mark`` matches: some names are those of other programs
    as well. ``lines`` empty: its output is text. ``keys`` are variables that hold credentials;
    without them it uses what its own login left in the home directory.
    """

    name: str
    program: str
    title: str
    vendor: str
    install: str
    arguments: Sequence[str]
    keys: Sequence[str]
    source: str
    prompt: Literal["stdin", "argument"] = "stdin"
    lines: Sequence[Rule] = ()
    exit_codes: Mapping[str, str] = {}
    mark: str = r"\d"
    version: Sequence[str] = ("--version",)
    capabilities: Sequence[str] = ("code",)


def _result(**usage: str) -> Sequence[Rule]:
    """The stream of Claude Code, which others have made their own."""
    return (
        {
            "when": {"/type": "assistant"},
            "log": "/message/content/*/text",
            "note": "/message/content/*/name",
        },
        {"when": {"/type": "system"}, "session": "/session_id"},
        {"when": {"/type": "result"}, "session": "/session_id", "usage": usage},
        {"when": {"/type": "result", "/is_error": False}, "text": "/result"},
        *(
            {"when": {"/type": "result", "/is_error": True}, "error": place}
            for place in ("/result", "/error", "/error/message", "/subtype")
        ),
    )


_TOKENS = {"input_tokens": "/usage/input_tokens", "output_tokens": "/usage/output_tokens"}
_CACHED = {"cached_input_tokens": "/usage/cache_read_input_tokens"}

_CODEX_LINES: Sequence[Rule] = (
    {"when": {"/type": "thread.started"}, "session": "/thread_id"},
    {"when": {"/type": "turn.started"}},
    {"when": {"/type": "item.started"}, "note": "/item/command"},
    {"when": {"/type": "item.updated"}},
    {
        "when": {"/type": "item.completed", "/item/type": "agent_message"},
        "text": "/item/text",
        "log": "/item/text",
    },
    {
        "when": {"/type": "turn.completed"},
        "usage": {
            **_TOKENS,
            "cached_input_tokens": "/usage/cached_input_tokens",
            "reasoning_tokens": "/usage/reasoning_output_tokens",
        },
    },
    {"when": {"/type": "turn.failed"}, "error": "/error/message"},
)

_GEMINI_LINES: Sequence[Rule] = (
    {"when": {"/type": "init"}, "session": "/session_id"},
    {"when": {"/type": "message", "/role": "user"}},
    {"when": {"/type": "message", "/role": "assistant"}, "text": "/content", "append": True},
    {"when": {"/type": "tool_use"}, "note": "/tool_name"},
    {
        "when": {"/type": "result"},
        "usage": {
            "input_tokens": "/stats/input_tokens",
            "output_tokens": "/stats/output_tokens",
            "cached_input_tokens": "/stats/cached",
        },
    },
    {"when": {"/type": "result", "/status": "error"}, "error": "/error/message"},
)

_OPENCODE_LINES: Sequence[Rule] = (
    {"when": {"/type": "step_start"}, "session": "/sessionID"},
    {"when": {"/type": "text"}, "text": "/part/text", "log": "/part/text"},
    {"when": {"/type": "tool_use"}, "note": "/part/tool"},
    {
        "when": {"/type": "step_finish"},
        "usage": {
            "input_tokens": "/part/tokens/input",
            "output_tokens": "/part/tokens/output",
            "reasoning_tokens": "/part/tokens/reasoning",
            "cached_input_tokens": "/part/tokens/cache/read",
            "cost_usd": "/part/cost",
        },
    },
    {"when": {"/type": "error"}, "error": "/error/data/message"},
    {"when": {"/type": "error"}, "error": "/error/name"},
)

_COPILOT_LINES: Sequence[Rule] = (
    {"when": {"/ephemeral": True}},
    {"when": {"/type": "user.message"}},
    {"when": {"/type": "assistant.turn_start"}},
    {"when": {"/type": "assistant.turn_end"}},
    {"when": {"/type": "assistant.message"}, "text": "/data/content", "log": "/data/content"},
    {"when": {"/type": "tool.execution_start"}, "note": "/data/toolName"},
    {
        "when": {"/type": "result"},
        "session": "/sessionId",
        "usage": {"premium_requests": "/usage/premiumRequests"},
    },
)

_GOOSE_LINES: Sequence[Rule] = (
    {
        "when": {"/type": "message", "/message/role": "assistant"},
        "text": "/message/content/*/text",
        "append": True,
    },
    {"when": {"/type": "message", "/message/role": "user"}},
    {
        "when": {"/type": "complete"},
        "usage": {
            "total_tokens": "/total_tokens",
            "input_tokens": "/input_tokens",
            "output_tokens": "/output_tokens",
        },
    },
    {"when": {"/type": "error"}, "error": "/error"},
)

_KIMI_LINES: Sequence[Rule] = (
    {"when": {"/role": "assistant"}, "text": "/content", "log": "/content"},
    {"when": {"/role": "assistant"}, "text": "/content/*/text", "log": "/content/*/text"},
    {"when": {"/role": "assistant"}, "note": "/tool_calls/*/function/name"},
)

KNOWN: Sequence[CodingAgent] = (
    CodingAgent(
        name="claude-code",
        program="claude",
        title="Claude Code",
        vendor="anthropic",
        install="npm install -g @anthropic-ai/claude-code",
        arguments=(
            *("--print", "--output-format", "stream-json", "--verbose"),
            *("--permission-mode", "acceptEdits"),
        ),
        keys=("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"),
        source="https://docs.claude.com/en/docs/claude-code/headless",
        lines=_result(**_TOKENS, **_CACHED, cost_usd="/total_cost_usd"),
        mark="Claude Code",
    ),
    CodingAgent(
        name="codex",
        program="codex",
        title="Codex",
        vendor="openai",
        install="npm install -g @openai/codex",
        arguments=(
            *("exec", "--json", "--color", "never", "--skip-git-repo-check"),
            *("--sandbox", "workspace-write", "-"),
        ),
        keys=("CODEX_API_KEY", "OPENAI_API_KEY"),
        source="https://github.com/openai/codex/blob/main/codex-rs/exec/src/exec_events.rs",
        lines=_CODEX_LINES,
        mark="codex",
    ),
    CodingAgent(
        name="gemini-cli",
        program="gemini",
        title="Gemini CLI",
        vendor="google",
        install="npm install -g @google/gemini-cli",
        arguments=(
            *("--output-format", "stream-json", "--approval-mode", "auto_edit"),
            "--skip-trust",
        ),
        keys=("GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_CLOUD_PROJECT"),
        source="https://geminicli.com/docs/cli/headless",
        lines=_GEMINI_LINES,
        exit_codes={"41": "permission", "42": "invalid_input"},
    ),
    CodingAgent(
        name="opencode",
        program="opencode",
        title="OpenCode",
        vendor="opencode",
        install="npm install -g opencode-ai",
        arguments=("run", "--format", "json"),
        keys=("OPENCODE_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_API_KEY"),
        source="https://opencode.ai/docs/cli",
        lines=_OPENCODE_LINES,
    ),
    CodingAgent(
        name="aider",
        program="aider",
        title="aider",
        vendor="aider",
        install="python -m pip install aider-install && aider-install",
        arguments=(
            *("--yes-always", "--no-pretty", "--no-stream", "--no-check-update", "--no-analytics"),
            *("--no-show-release-notes", "--no-detect-urls", "--message={prompt}"),
        ),
        keys=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY"),
        source="https://github.com/Aider-AI/aider/blob/main/aider/args.py",
        prompt="argument",
    ),
    CodingAgent(
        name="goose",
        program="goose",
        title="Goose",
        vendor="block",
        install="curl -fsSL https://github.com/block/goose/releases/download/stable/download_cli.sh"
        " | bash",
        arguments=("run", "--output-format", "stream-json", "--no-session", "--instructions", "-"),
        keys=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GOOGLE_API_KEY", "OPENROUTER_API_KEY"),
        source="https://github.com/block/goose/blob/main/crates/goose-cli/src/cli.rs",
        lines=_GOOSE_LINES,
        mark=r"^\s*\d",
    ),
    CodingAgent(
        name="cursor",
        program="cursor-agent",
        title="Cursor CLI",
        vendor="cursor",
        install="curl https://cursor.com/install -fsS | bash",
        arguments=("--print", "--output-format", "stream-json", "--force", "--", "{prompt}"),
        keys=("CURSOR_API_KEY",),
        source="https://cursor.com/docs/cli/reference/output-format",
        prompt="argument",
        lines=_result(),
    ),
    CodingAgent(
        name="copilot",
        program="copilot",
        title="GitHub Copilot CLI",
        vendor="github",
        install="npm install -g @github/copilot",
        arguments=("--output-format", "json", "--no-ask-user", "--allow-tool", "write"),
        keys=("COPILOT_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN"),
        source="https://docs.github.com/en/copilot/reference/copilot-cli-reference/"
        "cli-command-reference",
        lines=_COPILOT_LINES,
        mark="GitHub Copilot",
    ),
    CodingAgent(
        name="amp",
        program="amp",
        title="Amp",
        vendor="sourcegraph",
        install="npm install -g @sourcegraph/amp",
        arguments=("--execute", "--stream-json", "--no-notifications"),
        keys=("AMP_API_KEY",),
        source="https://ampcode.com/manual#cli",
        lines=_result(**_TOKENS, **_CACHED),
        mark=r"^0\.0\.\d+-",
    ),
    CodingAgent(
        name="qwen-code",
        program="qwen",
        title="Qwen Code",
        vendor="alibaba",
        install="npm install -g @qwen-code/qwen-code",
        arguments=("--output-format", "stream-json", "--approval-mode", "auto-edit"),
        keys=("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "DASHSCOPE_API_KEY"),
        source="https://qwenlm.github.io/qwen-code-docs/en/users/features/headless",
        lines=_result(**_TOKENS, **_CACHED),
    ),
    CodingAgent(
        name="crush",
        program="crush",
        title="Crush",
        vendor="charm",
        install="npm install -g @charmland/crush",
        arguments=("run", "--quiet"),
        keys=("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OPENROUTER_API_KEY", "GEMINI_API_KEY"),
        source="https://github.com/charmbracelet/crush/blob/main/internal/cmd/run.go",
    ),
    CodingAgent(
        name="kimi-cli",
        program="kimi",
        title="Kimi CLI",
        vendor="moonshot",
        install="uv tool install kimi-cli",
        arguments=("--print", "--output-format=stream-json"),
        keys=("KIMI_API_KEY", "KIMI_BASE_URL", "KIMI_MODEL_NAME"),
        source="https://github.com/MoonshotAI/kimi-cli/blob/main/docs/en/customization/print-mode.md",
        lines=_KIMI_LINES,
    ),
    CodingAgent(
        name="droid",
        program="droid",
        title="Droid",
        vendor="factory",
        install="curl -fsSL https://app.factory.ai/cli | sh",
        arguments=("exec", "--output-format", "json", "--auto", "low"),
        keys=("FACTORY_API_KEY",),
        source="https://docs.factory.ai/cli/droid-exec/overview",
        lines=_result(**_TOKENS, **_CACHED),
    ),
)
