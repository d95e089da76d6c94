cd /work/helpers/next && git reset -q --hard main
for b in "$@"; do echo "== $b"; git merge -q --no-edit $b 2>&1 | tail -3; U=$(git diff --name-only --diff-filter=U); if [ -n "$U" ]; then echo "CONFLICT: $U"; git diff | head -80; break; fi; done
