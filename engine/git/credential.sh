#!/bin/sh
# A git credential helper: answers for one origin alone, from an inherited descriptor.
# So the secret is in no argument, no environment, no configuration and no named file.
[ "$1" = get ] || exit 0
while IFS='=' read -r key value; do
    case $key in
    protocol) protocol=$value ;;
    host) host=$value ;;
    '') break ;;
    esac
done
[ "$protocol://$host" = "$OPENLINEAR_CREDENTIAL_FOR" ] || exit 0
exec cat "/dev/fd/$OPENLINEAR_CREDENTIAL_FD"
