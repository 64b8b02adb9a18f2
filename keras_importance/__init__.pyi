from .callback.feature_importance import FeatureImportance as FeatureImportance
from .compute import compute_importance as compute_importance
from .errors import ImportanceWarning as ImportanceWarning
from .methods import AblationImportance as AblationImportance
from .methods import ConditionalLOFO as ConditionalLOFO
from .methods import ConditionalPermutation as ConditionalPermutation
from .methods import GradientImportance as GradientImportance
from .methods import ImportanceMethod as ImportanceMethod
from .methods import IntegratedGradients as IntegratedGradients
from .methods import LinearisedPermutation as LinearisedPermutation
from .methods import LOFOImportance as LOFOImportance
from .methods import PermutationImportance as PermutationImportance
from .methods import PerturbationMethod as PerturbationMethod
from .reporting import plots as plots
from .reporting.writers import TensorBoardWriter as TensorBoardWriter
from .reporting.writers import Writer as Writer
from .results import ImportanceHistory as ImportanceHistory
from .results import ImportanceResult as ImportanceResult
from .retraining.lofo import lofo_importance as lofo_importance
from .verdicts.base import Detector as Detector
from .verdicts.useless_features import UselessFeatureDetector as UselessFeatureDetector

__version__: str
