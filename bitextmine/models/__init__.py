"""Making a model folder: pulled, merged from an adapter and its base, exported from a package.

The folders are read by `bitextmine.checkpoints` and used by `bitextmine.encoders`, which know
nothing of this folder. Pulling and merging go through `model_folder.make_model`: files appear
whole, an interrupted run goes on, and the manifest comes last.
"""

from pathlib import Path

from bitextmine.config import M_ST5


def let_models_be_made() -> None:
    """Have m-st5 merged when it is asked for and its parts are here.

    Who finds models knows nothing of making them; whoever stands above both lets the one do the
    other: the command line, and the package's door.
    """
    from bitextmine.encoders.locate import register_maker

    register_maker(M_ST5, _merge_m_st5)


def _merge_m_st5() -> Path:
    from bitextmine.models.pull import pull

    return pull(M_ST5)
