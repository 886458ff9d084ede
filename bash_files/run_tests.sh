# shellcheck shell=bash disable=SC2154
# Sourced by test.sh and check.sh.  run_tests [--long] [PATH ...] [flags of pytest]: from any folder, without a `cd`.
run_tests() {
    local word paths=no options=()
    for word in "$@"; do
        case "$word" in
            --long) options+=(-m "") ;;                     # in place of setup.cfg's `not long`
            -*) options+=("$word") ;;
            *)
                options+=("$word")
                [ ! -e "${word%%::*}" ] || paths=yes        # test file, folder, or file::test
                ;;
        esac
    done
    [ "$paths" = yes ] || options+=("$root/tests")
    "$VENV/bin/python" -m pytest -c "$root/setup.cfg" --rootdir "$root" "${options[@]}"
}
