"""Templates as clients see and send them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from podium.kernel import expressions
from podium.kernel.fields import Body, Page, Prose, Word
from podium.tasks.model import JsonSchema, TaskBase, TaskManner, TaskTimes, TemplateUsed
from podium.templates import model
from podium.templates.builtin import templates as built_in

_Description = Annotated[Prose, Field(max_length=2000, description="What it is for.")]
_Prompt = Annotated[
    str,
    Field(
        min_length=1,
        max_length=expressions.MOST_CHARS,
        description="What the agent is told. `{{ branch }}` stands for the parameter `branch`.",
    ),
]
_Parameters = Annotated[
    JsonSchema,
    Field(
        description="JSON Schema of its parameters: of an object, whose properties they are. A "
        "parameter that it does not name is refused, unless it says otherwise."
    ),
]
_Defaults = Annotated[
    dict[str, JsonValue],
    Field(description="Values of parameters that are not given, before those of the schema."),
]
_Approval = Annotated[
    bool,
    Field(
        description="Its tasks need an approval. As approvals cannot be asked for yet, none can be "
        "started."
    ),
]
_Parameter = Annotated[dict[str, JsonValue], Field(description="Values of its parameters by name.")]
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


class TemplateTask(TaskBase):
    """The task that a template starts. Its `title` and the texts in its `input` may hold
    expressions, the latter also `{{ prompt }}`; a text that is nothing but one expression keeps the
    type of its value, and a member without a value is left out. Without an `input` it is the object
    `{"prompt": …, "parameters": …}`. It is given the label `template`."""


class TemplateNew(Body):
    """A template of tasks."""

    name: Word
    description: _Description = ""
    parameters: _Parameters = Field(default_factory=lambda: dict(_NO_PARAMETERS))
    defaults: _Defaults = Field(default_factory=dict[str, JsonValue])
    prompt: _Prompt
    task: TemplateTask
    requires_approval: _Approval = False

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "summary",
                    "description": "Sums up a file.",
                    "parameters": {
                        "type": "object",
                        "properties": {
                            "path": {"type": "string"},
                            "words": {"type": "integer", "minimum": 1, "default": 100},
                        },
                        "required": ["path"],
                    },
                    "prompt": "Sum up {{ path }} in at most {{ words }} words.",
                    "task": {"agent": "writer", "title": "Summary of {{ path }}"},
                }
            ]
        },
    )


class TemplateEdit(Body):
    """What to change of a template; fields left out stay as they are."""

    description: _Description = Field(default_factory=lambda: "")  # the document tells no default
    parameters: _Parameters = Field(default_factory=lambda: dict(_NO_PARAMETERS))
    defaults: _Defaults = Field(default_factory=dict[str, JsonValue])
    prompt: _Prompt = Field(default_factory=lambda: "")
    task: TemplateTask | None = Field(default=None, description="Replaces the whole task.")
    requires_approval: _Approval = Field(default_factory=lambda: False)
    version: int | None = Field(
        default=None,
        description="The version that you read; the change is refused when another is in force.",
    )


class TaskChanges(TaskTimes, TaskManner):
    """What is to be different for one task. Fields left out are as the template says; `labels`,
    `timeouts` and `retry` are joined with its own."""


class TemplateCall(Body):
    """What is given for one task of a template."""

    parameters: _Parameter = Field(default_factory=dict[str, JsonValue])
    task: TaskChanges = Field(default_factory=TaskChanges)
    version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None, description="The version to start it from; unset, the one in force."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"parameters": {"path": "README.md"}, "task": {"priority": 10}}]
        },
    )


class TemplatePreview(BaseModel):
    """The task that a call would submit."""

    template: TemplateUsed
    requires_approval: bool = Field(description="Whether it could not be started for that.")
    task: dict[str, JsonValue] = Field(description="As `POST /tasks` would be given it.")


class Template(BaseModel):
    """A template, in one of its versions."""

    name: str
    project: str
    source: Literal["built_in", "project"] = Field(
        description="project: it, or this version of a built-in one, is the project's own."
    )
    version: int = Field(
        description="Those of the project count on from the built-in one that they were made from."
    )
    built_in_version: int | None = Field(
        description="The version that is built in under this name; null: none is."
    )
    based_on: int | None = Field(
        description="The version of the built-in one that the project's own was made from."
    )
    changed: list[str] = Field(description="Fields in which it differs from the built-in one.")
    description: str
    parameters: JsonSchema
    defaults: dict[str, JsonValue]
    prompt: str
    task: dict[str, JsonValue] = Field(description="As it was given.")
    requires_approval: bool
    created_by: str | None = Field(description="Who made this version; null: it is built in.")
    created_at: datetime | None


class TemplatePage(Page[Template]):
    """Templates in order of name."""


class TemplateVersionPage(Page[Template]):
    """Versions of a template, the newest first."""


def template_view(template: model.Template, project: str) -> Template:
    definition, made = template.definition, template.made
    original = built_in().get(template.name)
    own = template.id is not None
    return Template(
        name=template.name,
        project=project,
        source="project" if own else "built_in",
        version=template.version,
        built_in_version=template.built_in,
        based_on=template.based_on,
        changed=model.differences(original.definition, definition) if own and original else [],
        description=definition.description,
        parameters=dict(definition.parameters),
        defaults=dict(definition.defaults),
        prompt=definition.prompt,
        task=dict(definition.task),
        requires_approval=definition.requires_approval,
        created_by=made.by if made else None,
        created_at=made.at if made else None,
    )


def definition_of(new: TemplateNew) -> model.Definition:
    return model.Definition(
        prompt=new.prompt,
        task=new.task.model_dump(exclude_unset=True, mode="json"),
        description=new.description,
        parameters=new.parameters,
        defaults=new.defaults,
        requires_approval=new.requires_approval,
    )


def changes_of(edit: TemplateEdit) -> dict[str, Any]:
    """The fields of a definition that an edit changes."""
    given = {name: getattr(edit, name) for name in edit.model_fields_set - {"task", "version"}}
    if edit.task is not None:
        given["task"] = edit.task.model_dump(exclude_unset=True, mode="json")
    return given
