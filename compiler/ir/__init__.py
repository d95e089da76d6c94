"""The graph: nodes, types, and how they are printed, parsed and verified."""

from xlathe.compiler.ir.graph import Graph as Graph
from xlathe.compiler.ir.graph import Origin as Origin
from xlathe.compiler.ir.graph import is_effectful as is_effectful
from xlathe.compiler.ir.graph import nested as nested
from xlathe.compiler.ir.graph import unwrap as unwrap
from xlathe.compiler.ir.node import Array as Array
from xlathe.compiler.ir.node import Node as Node
from xlathe.compiler.ir.node import Opaque as Opaque
from xlathe.compiler.ir.node import constant as constant
from xlathe.compiler.ir.node import get as get
from xlathe.compiler.ir.node import node as node
from xlathe.compiler.ir.node import parameter as parameter
from xlathe.compiler.ir.node import start_token as start_token
from xlathe.compiler.ir.text import ParseError as ParseError
from xlathe.compiler.ir.text import parse as parse
from xlathe.compiler.ir.text import to_text as to_text
from xlathe.compiler.ir.types import TOKEN as TOKEN
from xlathe.compiler.ir.types import Type as Type
from xlathe.compiler.ir.types import array_type as array_type
from xlathe.compiler.ir.types import make_type as make_type
from xlathe.compiler.ir.verify import VerificationError as VerificationError
from xlathe.compiler.ir.verify import verify as verify
