"""Errors of ``rppam demo``, ``rppam init`` and the join bundle."""

from rppam.kernel.errors import Exit, Fault, Retry, RppamError


class DemoError(RppamError, code="RPPAM-7101", fault=Fault.PLATFORM, retry=Retry.NO, exit=Exit.NO):
    """The demo could not bring up a cluster on this machine; everything it started has ended."""

    fix = (
        "Read the reason; use other ports with --base-port, fewer nodes with --nodes on a busy machine, or keep the "
        "logs with --dir."
    )


class InitError(RppamError, code="RPPAM-7102", fault=Fault.OPERATOR, retry=Retry.NO, exit=Exit.ERRORS):
    """rppam init could not write the files of a node; nothing that existed was changed."""

    fix = "Read which file is in the way; --force keeps a backup and writes anew."


class BundleError(RppamError, code="RPPAM-7103", fault=Fault.OPERATOR, retry=Retry.NO, exit=Exit.ERRORS):
    """The join bundle is damaged or of another format, or the passphrase is not the right one."""

    fix = "Type the passphrase as shown, or make a new bundle on a node with: rppam init --bundle FILE."


class BundleExpired(RppamError, code="RPPAM-7105", fault=Fault.OPERATOR, retry=Retry.NO, exit=Exit.ERRORS):
    """The join bundle opens no more: its time is over, or this host's clock is wrong."""

    fix = "Set the clock (chronyc tracking), or make a new bundle on a node with: rppam init --bundle FILE."


class BundleForAnother(RppamError, code="RPPAM-7106", fault=Fault.OPERATOR, retry=Retry.NO, exit=Exit.ERRORS):
    """The join bundle is for a host of another name: each is made for one, and no second host may use it."""

    fix = "Leave --node-name out or take that name; for another host: rppam init --bundle FILE --bundle-for NAME."


class CertificateFilesError(RppamError, code="RPPAM-7104", fault=Fault.OPERATOR, retry=Retry.NO, exit=Exit.ERRORS):
    """rppam tls could not make or renew a certificate; nothing that existed was changed."""

    fix = "Read which file is in the way or missing; --dir names the folder with ca.pem and ca.key."
