"""Operations on windows of arrays, written as others that a target runs faster."""
