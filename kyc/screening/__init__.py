"""Reading sanctions lists and comparing names with them. Pure: no writes; `kyc.services.screening` stores."""
