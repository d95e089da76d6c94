"""Models, by Keras's names."""

from xlathe.runtime.training.model import Model as Model
from xlathe.runtime.training.model import Sequential as Sequential
from xlathe.runtime.training.saving import load_model as load_model
from xlathe.runtime.training.saving import model_from_json as model_from_json
from xlathe.runtime.training.saving import save_model as save_model
from xlathe.tracer.absent import reporter
from xlathe.tracer.models.cloning import clone_model as clone_model

__getattr__ = reporter("models", globals())
