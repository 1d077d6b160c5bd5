"""What every environment shares. Anything that differs, or is secret, comes from the environment."""

from datetime import timedelta
from pathlib import Path

import environ
from celery.schedules import crontab
from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.utils.translation import gettext_lazy as _

BASE_DIR = Path(__file__).resolve().parent.parent.parent
env = environ.FileAwareEnv()  # type: ignore[no-untyped-call]
environ.Env.read_env(str(BASE_DIR / ".env"))

# --- identity of this installation -------------------------------------------------------------
SECRET_KEY = env.str("SECRET_KEY")
DEBUG = False
DEMO = env.bool("DEMO", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SITE_NAME = "Musubi"
# Where people reach the portal: e-mails link to it. An address without a path.
SITE_URL = env.str("SITE_URL", default=next(iter(CSRF_TRUSTED_ORIGINS), "http://localhost:8000")).rstrip("/")

# --- applications --------------------------------------------------------------------------------
INSTALLED_APPS = [
    "portal.apps.PortalConfig",
    "chain.apps.ChainConfig",
    "kyc.apps.KycConfig",
    "tokens.apps.TokensConfig",
    "lending.apps.LendingConfig",
    "unfold.apps.BasicAppConfig",
    "portal.apps.BackOfficeConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.forms",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "django_celery_beat",
    "django_cotton",
    "django_htmx",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "portal.memo.RequestMemoMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "portal.middleware.SessionActivityMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.middleware.PreferredLanguageMiddleware",
    "portal.middleware.StaffSecondFactorMiddleware",
    "portal.middleware.BackOfficePolicyMiddleware",
    "portal.middleware.DomainErrorMiddleware",
]

ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
ASGI_APPLICATION = "portal.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "django.template.context_processors.i18n",
                "portal.context_processors.frame",
            ],
        },
    }
]
# Elements are cotton components: <c-address value="..." /> renders templates/elements/address.html.
COTTON_DIR = "elements"
# Form fields render through templates/django/forms/ (hint before input, error in the same words).
FORM_RENDERER = "django.forms.renderers.TemplatesSetting"

# --- database --------------------------------------------------------------------------------------
DATABASES = {"default": env.db("DATABASE_URL")}
DATABASES["default"]["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", default=60)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"].setdefault("OPTIONS", {})
# A statement that runs longer is a mistake; a lock held longer starves the outbox; an idle transaction
# keeps its row locks, so the server ends it.
DATABASES["default"]["OPTIONS"]["options"] = (
    "-c statement_timeout=30000 -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000"
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- cache and jobs: Redis holds nothing that cannot be lost ---------------------------------------
REDIS_URL = env.str("REDIS_URL")
CACHES = {
    "default": {
        "BACKEND": "portal.cache.ForgivingRedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    },
    # Pictures of figures that are the same for everybody, for seconds, within one process.
    "fragments": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "OPTIONS": {"MAX_ENTRIES": 100}},
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_TIME_LIMIT = 300
CELERY_TASK_SOFT_TIME_LIMIT = 240
CELERY_TIMEZONE = "Asia/Tokyo"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A publish must fail fast when Redis is down: the beat sweep is the real driver.
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_connect_timeout": 1, "socket_timeout": 5, "max_retries": 0}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# The sweeps are what drives the chain engine. Each exits at once while another run of it is under way, and a run nobody
# took in time is dropped: the next one does the same work.
CELERY_BEAT_SCHEDULE = {
    "portal-forget-forms": {"task": "portal.tasks.forget_old_forms_task", "schedule": 86400.0},
    "chain-submit": {"task": "chain.tasks.submit_task", "schedule": 1.0, "options": {"expires": 5}},
    "chain-reconcile": {"task": "chain.tasks.reconcile_task", "schedule": 1.0, "options": {"expires": 5}},
    "chain-index": {"task": "chain.tasks.index_task", "schedule": 1.0, "options": {"expires": 5}},
    # Nightly by design; hourly costs little, and a demo shows it the same day.
    "chain-ledger": {"task": "chain.tasks.compare_ledger_task", "schedule": 3600.0, "options": {"expires": 600}},
    # Looks whether there is reason to read; the reading itself is made once an hour and after changes.
    "chain-public": {"task": "chain.tasks.read_public_facts_task", "schedule": 15.0, "options": {"expires": 15}},
    "chain-fund": {"task": "chain.tasks.fund_task", "schedule": 2.0, "options": {"expires": 5}},
    "kyc-clock": {"task": "kyc.tasks.token_clock_task", "schedule": 2.0, "options": {"expires": 5}},
    "kyc-screenings": {"task": "kyc.tasks.sweep_screenings_task", "schedule": 10.0, "options": {"expires": 10}},
    "portal-notices": {"task": "portal.tasks.send_notices_task", "schedule": 10.0, "options": {"expires": 10}},
    "tokens-maturity": {"task": "tokens.tasks.mature_securities_task", "schedule": 3600.0, "options": {"expires": 600}},
    # One question for each deposit that may still change, and so many addresses a turn: docs/runbooks/collateral.md.
    "lending-bitcoin": {"task": "lending.tasks.watch_bitcoin_task", "schedule": 10.0, "options": {"expires": 10}},
    "lending-ether": {"task": "lending.tasks.watch_ether_task", "schedule": 60.0, "options": {"expires": 60}},
    "lending-deposits": {"task": "lending.tasks.advance_deposits_task", "schedule": 5.0, "options": {"expires": 5}},
    # A list may change at any hour.
    "lending-rescreening": {"task": "lending.tasks.rescreen_deposits_task", "schedule": crontab(minute=25)},
    # At night in Japan, when little moves.
    "lending-reconciliation": {
        "task": "lending.tasks.reconcile_collateral_task",
        "schedule": crontab(hour=3, minute=10),
    },
    "lending-proof": {"task": "lending.tasks.publish_proof_task", "schedule": crontab(hour=3, minute=40)},
    # An answer of one exchange may take seconds; a round that nobody took in time is dropped.
    # Once a day is enough; hourly, so that a missed night is made up for the same morning.
    "lending-interest": {"task": "lending.tasks.accrue_interest_task", "schedule": crontab(minute=10)},
    "lending-statements": {
        "task": "lending.tasks.make_statements_task",
        "schedule": 3600.0,
        "options": {"expires": 600},
    },
    "lending-maturity": {
        "task": "lending.tasks.remind_of_maturity_task",
        "schedule": 3600.0,
        "options": {"expires": 600},
    },
    "lending-prices": {"task": "lending.tasks.poll_prices_task", "schedule": 20.0, "options": {"expires": 15}},
    "lending-sweep": {"task": "lending.tasks.sweep_book_task", "schedule": 5.0, "options": {"expires": 5}},
    "lending-breaches": {"task": "lending.tasks.act_on_breaches_task", "schedule": 5.0, "options": {"expires": 5}},
    "lending-calls": {"task": "lending.tasks.review_calls_task", "schedule": 30.0, "options": {"expires": 30}},
    "lending-stress": {"task": "lending.tasks.run_stress_task", "schedule": 60.0, "options": {"expires": 60}},
    "lending-sales": {"task": "lending.tasks.run_sales_task", "schedule": 3.0, "options": {"expires": 3}},
    "kyc-reviews": {"task": "kyc.tasks.announce_reviews_task", "schedule": 3600.0, "options": {"expires": 600}},
}

# --- people ------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "portal.User"
AUTHENTICATION_BACKENDS = ["portal.accounts.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_REDIRECT_URL = "portal:dashboard"
LOGIN_URL = "account_login"
ACCOUNT_ADAPTER = "portal.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = True
ACCOUNT_FORMS = {"signup": "portal.forms.SignupForm"}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
MFA_ADAPTER = "portal.accounts.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_FORMS = {
    "add_webauthn": "portal.forms.AddPasskeyForm",
    "edit_webauthn": "portal.forms.EditPasskeyForm",
    "signup_webauthn": "portal.forms.FirstPasskeyForm",
    "login_webauthn": "portal.forms.PasskeySignInForm",
    "authenticate_webauthn": "portal.forms.PasskeySecondForm",
    "reauthenticate_webauthn": "portal.forms.PasskeyAgainForm",
    "authenticate": "portal.forms.SecondFactorForm",
    "reauthenticate": "portal.forms.SecondFactorAgainForm",
}
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_PASSKEY_SIGNUP_ENABLED = True  # after the mailed code, in place of a password
MFA_TOTP_ISSUER = SITE_NAME
MFA_TOTP_TOLERANCE = 1  # a phone whose clock is half a minute off still signs in
USERSESSIONS_TRACK_ACTIVITY = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = int(timedelta(hours=12).total_seconds())

# --- language, time --------------------------------------------------------------------------------
LANGUAGE_CODE = "ja"
LANGUAGES = [("ja", _("Japanese")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = "Asia/Tokyo"
USE_TZ = True
USE_I18N = True

# --- files -------------------------------------------------------------------------------------------
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "frontend" / "dist"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Evidence: outside the web root, never a URL, encrypted before it is written (kyc.evidence).
PRIVATE_ROOT = Path(env.str("PRIVATE_ROOT", default=str(BASE_DIR / ".run" / "private")))
EVIDENCE_KEYS = env.list("EVIDENCE_KEYS", default=[])  # Fernet keys, newest first
# Fonts of the PDFs that the server makes (`npm run build` puts them there).
DOCUMENT_FONTS = Path(env.str("DOCUMENT_FONTS", default=str(BASE_DIR / "frontend" / "document-fonts")))
EVIDENCE_MAX_BYTES = 10 * 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = 12 * 1024 * 1024

# --- chain -------------------------------------------------------------------------------------------
CHAIN_RPC_URL = env.str("CHAIN_RPC_URL")
CHAIN_ID = env.int("CHAIN_ID", default=31337)
# What a person's own wallet is told: the network's name, and a node that everybody may ask (empty: the wallet has its own).
CHAIN_NAME = env.str("CHAIN_NAME", default=f"EVM {CHAIN_ID}")
CHAIN_PUBLIC_RPC_URL = env.str("CHAIN_PUBLIC_RPC_URL", default="")
# Finality comes from the node's `finalized` tag; a chain without one names a depth instead.
CHAIN_FINALITY_DEPTH = int(env.str("CHAIN_FINALITY_DEPTH", default="") or 0) or None
CHAIN_EXPLORER_TX_URL = env.str("CHAIN_EXPLORER_TX_URL", default="")
# Delays and limits that contracts are deployed with: demo, test or production (chain/profiles.py).
CHAIN_PROFILE = env.str("CHAIN_PROFILE", default="demo")
CHAIN_RPC_TIMEOUT = env.float("CHAIN_RPC_TIMEOUT", default=5.0)
CHAIN_MAX_FEE_GWEI = env.int("CHAIN_MAX_FEE_GWEI", default=500)
# The lowest transaction that is not in a block yet is sent again, then sent with higher fees, after so long.
CHAIN_RESEND_AFTER_SECONDS = env.float("CHAIN_RESEND_AFTER_SECONDS", default=10.0)
CHAIN_RAISE_AFTER_SECONDS = env.float("CHAIN_RAISE_AFTER_SECONDS", default=45.0)
# What a person's own wallet sent and no node has known for so long is taken for dropped: it may be sent again.
CHAIN_DROPPED_AFTER_SECONDS = env.float("CHAIN_DROPPED_AFTER_SECONDS", default=600.0)
# What the gas funder pays a signer that runs short: usually, and at most in one payment.
CHAIN_TOP_UP_WEI = env.int("CHAIN_TOP_UP_WEI", default=10**16)
CHAIN_TOP_UP_LIMIT_WEI = env.int("CHAIN_TOP_UP_LIMIT_WEI", default=10**18)
# Officers of the two Safes, by address, and how many of them must sign. Empty where the profile brings development keys.
ADMIN_SAFE_OWNERS = env.list("ADMIN_SAFE_OWNERS", default=[])
COUNCIL_SAFE_OWNERS = env.list("COUNCIL_SAFE_OWNERS", default=[])
SAFE_THRESHOLD = env.int("SAFE_THRESHOLD", default=2)
# Where sold collateral goes (the exchange's deposit address); empty: no collateral vault is deployed.
COLLATERAL_SALE_ADDRESS = env.str("COLLATERAL_SALE_ADDRESS", default="")
# Chainlink's price feeds by pair, `ETH/USD=0x…,JPY/USD=0x…`; the demo and the tests have simulated ones.
PRICE_FEEDS = env.dict("PRICE_FEEDS", default={})
# Development only: the platform signs proposals with the officers' development keys, so that nobody has to wait.
DEMO_SIGNS_FOR_OFFICERS = env.bool("DEMO_SIGNS_FOR_OFFICERS", default=DEMO)
KEYSTORE_DIR = Path(env.str("KEYSTORE_DIR", default=str(BASE_DIR / ".run" / "keystore")))
KEYSTORE_PASSWORD = env.str("KEYSTORE_PASSWORD", default="")

# --- bitcoin: collateral of the loan desk --------------------------------------------------------------
# The custodian's account by its public key (BIP 84) and the fingerprint of its master key: docs/runbooks/collateral.md.
# No private key belongs here. Without a key no Bitcoin address is given out.
BITCOIN_NETWORK = env.str("BITCOIN_NETWORK", default="mainnet")
BITCOIN_ACCOUNT_XPUB = env.str("BITCOIN_ACCOUNT_XPUB", default="")
BITCOIN_MASTER_FINGERPRINT = env.str("BITCOIN_MASTER_FINGERPRINT", default="00000000")
BITCOIN_ESPLORA_URL = env.str("BITCOIN_ESPLORA_URL", default="")
BITCOIN_ESPLORA_TIMEOUT = env.float("BITCOIN_ESPLORA_TIMEOUT", default=10.0)
# Confirmations a deposit needs, by the satoshi it brings: `from:confirmations`, the highest that applies.
BITCOIN_CONFIRMATIONS = env.list("BITCOIN_CONFIRMATIONS", default=["0:3", "100000000:6"])
# A block this deep is taken to stay: until then a credited deposit is looked at again after every block.
BITCOIN_SETTLED_DEPTH = env.int("BITCOIN_SETTLED_DEPTH", default=100)
# Addresses given out in a row that nothing was paid to yet. The custodian's wallet must look at least this far ahead.
BITCOIN_GAP_LIMIT = env.int("BITCOIN_GAP_LIMIT", default=200)
# Hours before a change of a borrower's return address takes effect: time for its owner to object.
LENDING_RETURN_ADDRESS_WAIT_HOURS = env.int("LENDING_RETURN_ADDRESS_WAIT_HOURS", default=48)
# Addresses asked about in one sweep.
BITCOIN_SWEEP_ADDRESSES = env.int("BITCOIN_SWEEP_ADDRESSES", default=200)

# --- prices and sales of collateral ----------------------------------------------------------------
# Set: ccxt asks the simulator (lending/prices/simulator.py) at this address instead of the exchanges. Never in production.
EXCHANGE_SIMULATOR_URL = env.str("EXCHANGE_SIMULATOR_URL", default="")
# Where collateral is sold: paper (no exchange, for the demo and tests) or the name of an exchange in ccxt.
SALE_VENUE = env.str("SALE_VENUE", default="paper")
SALE_API_KEY = env.str("SALE_API_KEY", default="")
SALE_API_SECRET = env.str("SALE_API_SECRET", default="")
# Paper sales only: collateral counts as delivered without moving. Off, it goes through the vault and officers as always.
PAPER_DELIVERS_AT_ONCE = env.bool("PAPER_DELIVERS_AT_ONCE", default=False)
# The exchange's deposit address for bitcoin: a delivery that demonstrably paid it arrives without a second officer.
BITCOIN_SALE_ADDRESS = env.str("BITCOIN_SALE_ADDRESS", default="")
# How long the vault's recorded sale rests before it is carried out, and after how long a delivery is an incident.
SALE_EXECUTION_WAIT_SECONDS = env.int("SALE_EXECUTION_WAIT_SECONDS", default=12)
DELIVERY_LATE_MINUTES = env.int("DELIVERY_LATE_MINUTES", default=120)

# A recipient can be sent to only this long after it was saved: whoever takes a session over cannot empty it the same day.
RECIPIENT_COOLING_OFF = timedelta(seconds=env.float("RECIPIENT_COOLING_OFF_SECONDS", default=86400.0))

# --- mail --------------------------------------------------------------------------------------------
EMAIL_CONFIG = env.email_url("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Musubi <no-reply@musubi.example>")

# --- limits ------------------------------------------------------------------------------------------
# Beside allauth's own: questions to the public check page, each of which costs two requests to the node at most.
ACCOUNT_RATE_LIMITS: dict[str, str] | bool = {"public_check": "30/m/ip"}

# --- headers -----------------------------------------------------------------------------------------
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "portal.views.errors.csrf_failure"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# The back office's framework (unfold, Alpine.js) evaluates expressions and writes styles in the page. Its pages alone get
# this wider policy; they show records and change none.
BACK_OFFICE_SECURITY_POLICY = {
    "script-src": [SELF, UNSAFE_INLINE, UNSAFE_EVAL],
    "style-src": [SELF, UNSAFE_INLINE],
}
UNFOLD = {
    "SITE_TITLE": SITE_NAME,
    "SITE_HEADER": SITE_NAME,
    "SITE_SUBHEADER": _("Records"),
    "SITE_URL": "/dashboard/",
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "8px",
    "COLORS": {  # the blue of the theme (DADS key colours)
        "primary": {
            "50": "#e8f1fe",
            "100": "#d9e6ff",
            "200": "#c5d7fb",
            "300": "#9db7f9",
            "400": "#7096f8",
            "500": "#4979f5",
            "600": "#0017c1",
            "700": "#00118f",
            "800": "#000071",
            "900": "#000060",
            "950": "#000040",
        }
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
}
