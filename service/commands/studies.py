"""The command `study autoencoders`, which runs `models.studies`."""

from pathlib import Path

from models.evaluation.references import ReferencePictureError
from models.studies.results import OtherStudyError
from models.studies.study import StudyOptions
from models.studies.study import study as run_study
from models.weights_file import CheckpointError
from service.commands.failure import CommandFailure
from service.commands.output_folder import prepare_folder

__all__ = ["StudyOptions", "study"]


def study(options: StudyOptions) -> Path:
    """Run the missing trainings of a study, and return the path of its report. Raises CommandFailure."""
    if not options.data.exists():
        raise CommandFailure(f"latentedge: --data: there is no such folder or pack file: {options.data}")
    if options.valid is not None and not options.valid.is_dir():
        raise CommandFailure(f"latentedge: {options.valid} is not a folder")
    prepare_folder(options.output)
    try:
        return run_study(options)
    except (CheckpointError, OtherStudyError, ReferencePictureError) as error:
        raise CommandFailure(f"latentedge: the study cannot run: {error}") from error
    except OSError as error:
        raise CommandFailure(f"latentedge: the study has stopped: {error}") from error
