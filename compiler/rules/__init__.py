"""Rewrite rules, one family a file."""

from xlathe.compiler.rules.arithmetic import ARITHMETIC as ARITHMETIC
from xlathe.compiler.rules.factors import FACTORS as FACTORS
from xlathe.compiler.rules.forms import FORMS as FORMS
from xlathe.compiler.rules.intervals import INTERVALS as INTERVALS
from xlathe.compiler.rules.movement import MOVEMENT as MOVEMENT
from xlathe.compiler.rules.rule import Declined as Declined
from xlathe.compiler.rules.rule import Miss as Miss
from xlathe.compiler.rules.rule import Rewrite as Rewrite
from xlathe.compiler.rules.rule import Rule as Rule
from xlathe.compiler.rules.rule import RuleLog as RuleLog
from xlathe.compiler.rules.rule import RuleSet as RuleSet
from xlathe.compiler.rules.rule import log_hit as log_hit
from xlathe.compiler.rules.rule import log_miss as log_miss
from xlathe.compiler.rules.rule import log_rewrite as log_rewrite
from xlathe.compiler.rules.rule import logging_rules as logging_rules
