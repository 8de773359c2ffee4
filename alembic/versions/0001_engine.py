"""The engine's tables, and the numbering of news.

Revision ID: 0001
"""

import sqlmodel
from sqlalchemy.dialects import postgresql

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
